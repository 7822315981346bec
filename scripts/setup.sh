#!/bin/sh
# Makes the virtual environment $1 with the locked dependencies. PYTHON=... picks the interpreter.
set -eu

venv=${1:-.venv}
cd "$(dirname "$0")/.."

fail() {
    printf '\n%s\n' "$@" >&2
    exit 1
}

is_fit() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_fit "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if is_fit "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and none was found." \
        "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3"
}

make_venv() {
    if is_fit "$venv/bin/python" && { [ -z "${PYTHON:-}" ] || [ -f "$venv/.stamp" ]; }; then
        return
    fi
    python=$(find_python)
    mkdir -p "$venv" 2>/dev/null || fail "Cannot write $venv." "Choose another place: make setup VENV=/some/place"
    if "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        "$python" -m venv --clear "$venv"
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --clear --seed --python "$python" "$venv"
    else
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        rmdir "$venv" 2>/dev/null || true
        fail "$python has no venv module with ensurepip." \
            "Debian, Ubuntu: apt-get install python$version-venv   (or put uv on the PATH)"
    fi
}

# uv reads neither pip's configuration nor its variables: the index that an administrator set there must hold for it too.
# Further indexes and wheel directories are left to pip, the fallback: uv stops at one that is not there, pip goes on.
adopt_pip_settings() {
    pip_value() { "$venv/bin/python" -m pip config get "$1" 2>/dev/null || true; }
    index=${PIP_INDEX_URL:-$(pip_value global.index-url)}
    cert=${PIP_CERT:-$(pip_value global.cert)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "$cert" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"
    cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/uv}
    { mkdir -p "$cache" && [ -w "$cache" ]; } 2>/dev/null || export UV_NO_CACHE=1
}

install_all() {
    export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
    if "$venv/bin/python" -m pip install --quiet --require-hashes -r requirements-uv.lock >"$venv/setup.log" 2>&1; then
        if (adopt_pip_settings && "$venv/bin/python" -m uv pip install --quiet --compile-bytecode \
            --python "$venv/bin/python" --require-hashes -r requirements.lock) >>"$venv/setup.log" 2>&1; then
            return
        fi
    fi
    echo "uv could not install; trying pip (slower) ..."
    "$venv/bin/python" -m pip install --quiet --require-hashes -r requirements.lock >>"$venv/setup.log" 2>&1 && return
    tail -n 15 "$venv/setup.log" >&2
    fail "The dependencies could not be installed; the whole log is in $venv/setup.log." \
        "Is a package index reachable? pip's own settings (PIP_INDEX_URL, pip.conf) are used."
}

make_venv
echo "Installing the locked dependencies into $venv ..."
install_all
touch "$venv/.stamp"
echo "Ready: $("$venv/bin/python" --version) in $venv"
