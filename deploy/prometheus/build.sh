#!/usr/bin/env bash
# Builds Prometheus 3 once a machine, with Go's own tools, from its published module; links it into .cache/bin of this
# tree as prometheus3 and promtool3. The pages of its user interface are no part of the module.
set -euo pipefail
version=3.13.1 # as in docker-compose.yml; as a module it is v0.313.1
module=github.com/prometheus/prometheus@v0.313.1
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/otel-openai/prometheus-$version

build() {
  CGO_ENABLED=0 GOWORK=off go build -mod=readonly -trimpath -tags remove_all_sd \
    -ldflags="-s -w -X github.com/prometheus/common/version.Version=$version" -o "$cache/$1.new" "./cmd/$1"
  mv "$cache/$1.new" "$cache/$1"
}

if [ ! -x "$cache/promtool" ]; then
  cd / # outside of any module
  go mod download "$module"
  mkdir -p "$cache"
  cd "$(go env GOMODCACHE)/$module" # `go install` would refuse a module that replaces another; here its own go.mod and go.sum hold
  build prometheus
  build promtool
fi
mkdir -p "$root/.cache/bin"
ln -sf "$cache/prometheus" "$root/.cache/bin/prometheus3"
ln -sf "$cache/promtool" "$root/.cache/bin/promtool3"
echo "Prometheus $version: $cache"
