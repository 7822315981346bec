#!/bin/sh
# Runs all tests on every Python from 3.11 to 3.13 that is installed, each in an environment of its own below $1.
set -eu

home=${1:-.venv}
cd "$(dirname "$0")/.."

ran=""
failed=""
for version in 3.11 3.12 3.13; do
    if ! "python$version" -c '' >/dev/null 2>&1; then
        echo "== Python $version: not installed, left out"
        continue
    fi
    echo "== Python $version"
    ran="$ran $version"
    PYTHON="python$version" make --no-print-directory test VENV="$home/versions/$version" || failed="$failed $version"
done

[ -n "$ran" ] || { echo "no Python from 3.11 to 3.13 is installed" >&2; exit 1; }
[ -z "$failed" ] || { echo "failed on:$failed" >&2; exit 1; }
echo "== passed on:$ran"
