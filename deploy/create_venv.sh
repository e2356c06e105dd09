#!/bin/sh
# Create the virtual environment, or say in one sentence why not.
set -eu
python=${1:-}
venv=$2

fail() {
    echo "cartwright: $1" >&2
    exit 1
}

[ -n "$python" ] || fail "no Python 3.11 or newer on the PATH: install one, or call make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: install Python 3.11 or newer, or call make PYTHON=/path/to/python3.11"

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    # Debian and Ubuntu ship venv apart from Python.
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "cartwright: installing $package"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >/dev/null
    else
        fail "this Python cannot create virtual environments: run 'sudo apt-get install $package' and try again"
    fi
fi
"$python" -m venv "$venv" || fail "could not create $venv: see the lines above"
