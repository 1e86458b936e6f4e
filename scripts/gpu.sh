#!/bin/sh
# Run benchmarks/gpu.py (make gpu): with .venv where there is one, else on a bare machine with the
# wheels that scripts/pack_gpu.sh put into .gpu/. SMOKE=1: on the CPU at tiny sizes.
set -eu
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"
[ -x "$PYTHON" ] || PYTHON=python3
if [ "$PYTHON" = python3 ] && [ -d .gpu ]; then
    "$PYTHON" scripts/unpack_gpu.py .gpu build/packages
    PYTHONPATH="$PWD/src:$PWD/build/packages${PYTHONPATH:+:$PYTHONPATH}"
    export PYTHONPATH
fi
exec "$PYTHON" benchmarks/gpu.py ${SMOKE:+--smoke} "$@"
