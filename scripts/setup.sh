#!/bin/sh
# Create the virtual environment and install the locked dependencies and lookalike into it.
set -eu
PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }

command -v "$PYTHON" >/dev/null 2>&1 || fail "no '$PYTHON' found. Install Python 3.11 or newer, or name one: make setup PYTHON=python3.12"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old; lookalike needs Python 3.11 or newer. Name one: make setup PYTHON=python3.12"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "this Python lacks the venv module. On Debian and Ubuntu: apt-get install python3-venv; on others install the package that holds 'ensurepip'"

if [ ! -x "$VENV/bin/python" ]; then
    "$PYTHON" -m venv "$VENV"
fi
# uv is pinned like everything else; it installs the rest in parallel and checks every hash.
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
UV="$VENV/bin/uv"
"$UV" pip install --python "$VENV/bin/python" --require-hashes -r requirements.lock
# The native kernels are built when a C++ compiler is there; without one the pure torch path serves.
"$UV" pip install --python "$VENV/bin/python" --no-deps --no-build-isolation --editable .
printf 'setup: done. Try: %s/bin/lookalike --help\n' "$VENV"
