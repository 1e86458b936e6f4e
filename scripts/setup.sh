#!/bin/sh
# Create the virtual environment and install the dependencies of a lock and lookalike into it.
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
LOCK="${1:-requirements.lock}"
case "${TORCH:-}" in
    "") "$UV" pip install --python "$VENV/bin/python" --require-hashes -r "$LOCK" ;;
    cpu)
        # The lock's hashes are those of the package index, whose torch brings CUDA. All else comes by
        # hash; torch and torchvision of the same versions from torch's own index.
        awk '/^[^ #]/ { torch = /^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==/ }
             !torch' "$LOCK" > "$VENV/without-torch.lock"
        PINS="$(sed -nE 's/^((torch|torchvision)==[^ ]+).*/\1/p' "$LOCK" | tr '\n' ' ')"
        # shellcheck disable=SC2086
        "$UV" pip install --python "$VENV/bin/python" --no-deps --torch-backend cpu $PINS ||
            fail "torch's CPU build cannot be had from its index. Run make setup without TORCH=cpu"
        "$UV" pip install --python "$VENV/bin/python" --no-deps --require-hashes -r "$VENV/without-torch.lock"
        ;;
    *) fail "TORCH=$TORCH: write TORCH=cpu, or leave it out" ;;
esac
# The native kernels are built when a C++ compiler is there; without one the pure torch path serves.
"$UV" pip install --python "$VENV/bin/python" --no-deps --no-build-isolation --editable .
printf 'setup: done. Try: %s/bin/lookalike --help\n' "$VENV"
