#!/usr/bin/env bash
# Builds Jaeger once a machine, with Go's own tools, from its published module; links it into .cache/bin of this tree.
# It has OTLP, storage in memory and the query API. The pages of its user interface are no part of the module.
set -euo pipefail
version=v1.76.0 # the newest that is published as a Go module; the source of release v2.13.0
module=github.com/jaegertracing/jaeger
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/otel-openai/jaeger-$version

if [ ! -x "$cache/jaeger" ]; then
  (cd / && go mod download "$module@$version")
  mkdir -p "$cache"
  # Its replacements and checksums hold in its own folder only; `go install` refuses a module that replaces others.
  cd "$(go env GOMODCACHE)/$module@$version"
  CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags="-s -w" -o "$cache/jaeger.new" ./cmd/jaeger
  mv "$cache/jaeger.new" "$cache/jaeger"
fi
mkdir -p "$root/.cache/bin"
ln -sf "$cache/jaeger" "$root/.cache/bin/jaeger"
echo "Jaeger $version: $cache/jaeger"
