#!/usr/bin/env bash
# Builds Prometheus 3 once a machine, with Go's own tools, from its published module; links it into .cache/bin of this
# tree as prometheus3 and promtool3. The pages of its user interface are no part of the module.
set -euo pipefail
version=v0.313.1 # the module of release 3.13.1, which docker-compose.yml names
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/otel-openai/prometheus-$version

if [ ! -x "$cache/promtool" ]; then
  cd / # outside of any module
  module=$(go mod download -json "github.com/prometheus/prometheus@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  mkdir -p "$cache"
  cd "$module" # `go install` would refuse a module that replaces another; here its own go.mod and go.sum hold
  # Without service discovery in clouds: half of the time to build.
  for program in prometheus promtool; do
    CGO_ENABLED=0 GOWORK=off go build -mod=readonly -tags remove_all_sd -trimpath -ldflags="-s -w" -o "$cache/$program.new" "./cmd/$program"
    mv "$cache/$program.new" "$cache/$program"
  done
fi
mkdir -p "$root/.cache/bin"
ln -sf "$cache/prometheus" "$root/.cache/bin/prometheus3"
ln -sf "$cache/promtool" "$root/.cache/bin/promtool3"
echo "Prometheus 3 ($version): $cache"
