#!/usr/bin/env bash
# Builds the collector of builder.yaml once a machine, with the collector's own builder; links it into .cache/bin of
# this tree.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
manifest=$root/deploy/collector/builder.yaml
version=v$(sed -n 's/^  version: //p' "$manifest")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/otel-openai/collector-$version-$(cksum <"$manifest" | cut -d" " -f1)

if [ ! -x "$cache/otelcol" ]; then
  mkdir -p "$cache"
  cd "$cache"
  CGO_ENABLED=0 go run "go.opentelemetry.io/collector/cmd/builder@$version" --config "$manifest"
  mv source/otelcol .
  rm -r source
fi
mkdir -p "$root/.cache/bin"
ln -sf "$cache/otelcol" "$root/.cache/bin/otelcol"
echo "Collector $version: $cache/otelcol"
