#!/bin/sh
# Puts Debian's (or Ubuntu's) Prometheus into .cache/bin of this tree, for the tests. Nothing is installed, and root is
# not needed. Without apt or a network it says so and ends well: the tests that need it are skipped, with the reason.
set -eu
bin=$(cd "$(dirname "$0")/../.." && pwd)/.cache/bin
own=$(mktemp -d)
trap 'rm -rf "$own"' EXIT

apt() {
    apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$@"
}

download() {
    cd "$own"
    apt download prometheus && return
    # A fresh machine has no package lists, and an old one has lists of packages that are gone.
    mkdir -p lists/partial archives/partial
    set -- -o Dir::State::Lists="$own/lists" -o Dir::Cache="$own"
    apt "$@" update && apt "$@" download prometheus
}

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "No Prometheus for the tests: there is no apt here" >&2
elif ! (download) >"$own/log" 2>&1; then
    echo "No Prometheus for the tests: $(grep '^E:' "$own/log" | tail -n 1)" >&2
else
    dpkg-deb -x "$own"/prometheus_*.deb "$own"
    mkdir -p "$bin"
    mv "$own/usr/bin/prometheus" "$own/usr/bin/promtool" "$bin"
    touch "$bin/prometheus" "$bin/promtool" # the package has the dates of its making
fi
