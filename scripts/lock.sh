#!/bin/sh
# Compiles requirements.lock (all platforms, hashes, no address of any index in it) from pyproject.toml.
# The output path is relative and the header left out: neither the machine nor the command line gets into the file.
set -eu

venv=${1:-.venv}
cd "$(dirname "$0")/.."

"$venv/bin/python" -m pip install --quiet --require-hashes -r requirements-uv.lock
"$venv/bin/python" -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
    pyproject.toml --group dev -o requirements.lock
"$venv/bin/python" scripts/check_lock.py
