#!/bin/sh
# Build the sdist, and of it the wheel; install both parts of the promise in clean environments:
# the package on every Python from 3.11 to 3.14 that is at hand, and the server of an exported model,
# without torch and below 450 MB (scripts/serve_alone.py).
set -eu
VENV="${VENV:-.venv}"
UV="$VENV/bin/uv"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT

"$UV" build --quiet --no-build-isolation --python "$VENV/bin/python" --out-dir "$WORK/dist"
"$VENV/bin/python" scripts/serve_alone.py --make "$WORK/exported.index"
for version in 3.11 3.12 3.13 3.14; do
    "$UV" python find --no-python-downloads --offline "$version" >/dev/null 2>&1 || continue
    "$UV" venv --quiet --no-python-downloads --python "$version" "$WORK/$version"
    python="$WORK/$version/bin/python"
    "$UV" pip install --quiet --python "$python" --require-hashes -r requirements-serve.lock
    # The wheel where it fits; elsewhere the sdist, built anew, in pure Python: compiling is tested once.
    "$UV" pip install --quiet --python "$python" --no-deps "$WORK"/dist/*.whl 2>/dev/null ||
        CXX=false "$UV" pip install --quiet --python "$python" --no-deps "$WORK"/dist/*.tar.gz
    megabytes="$(du -sm "$WORK/$version" | cut -f1)"
    [ "$megabytes" -lt 450 ] || { echo "packages: $megabytes MB on Python $version, more than 450" >&2; exit 1; }
    "$python" scripts/serve_alone.py "$WORK/exported.index"
    echo "packages: Python $version serves an exported model in $megabytes MB, without torch"
done
