#!/usr/bin/env bash
# Builds Jaeger once a machine, with Go's own tools, from its published module; links it into .cache/bin of this tree.
# It has OTLP, storage in memory and the query API. The pages of its user interface are no part of the module.
set -euo pipefail
version=v1.76.0 # the newest that is published as a Go module; the source of release v2.13.0
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/otel-openai/jaeger-$version

if [ ! -x "$cache/jaeger" ]; then
  cd / # outside of any module
  module=$(go mod download -json "github.com/jaegertracing/jaeger@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  mkdir -p "$cache"
  cd "$module" # `go install` would refuse a module that replaces another; here its own go.mod and go.sum hold
  CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags="-s -w" -o "$cache/jaeger.new" ./cmd/jaeger
  mv "$cache/jaeger.new" "$cache/jaeger"
fi
mkdir -p "$root/.cache/bin"
ln -sf "$cache/jaeger" "$root/.cache/bin/jaeger"
echo "Jaeger $version: $cache/jaeger"
