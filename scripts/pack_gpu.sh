#!/bin/sh
# Put into .gpu/ the wheels that a bare GPU machine without a network lacks, our own among them.
#
# Taken for granted there: Linux on x86-64, Python 3.12, torch 2.11, torchvision, Triton, numpy,
# pandas, pyarrow, Pillow, safetensors, matplotlib and hypothesis. Versions and hashes are those of
# requirements.lock. What would go over the limit is left out, the last of the list first, and named.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"
TARGET="${TARGET:-python3.12}"   # builds our wheel: a path, or a version that uv finds
LIMIT_MIB=50
FOLDER=.gpu
# In order of need. scikit-learn and scipy (44 MiB) do not fit: what wants them says they are absent.
PACKAGES="hydra-core omegaconf antlr4-python3-runtime pyyaml msgspec lazy-loader filelock packaging
typing-extensions jinja2 markupsafe threadpoolctl simplejpeg typer click shellingham annotated-doc
rich markdown-it-py mdurl pygments pytest pluggy iniconfig pytest-timeout pytest-xdist execnet
sortedcontainers timm huggingface-hub httpx2 httpcore2 truststore h11 anyio certifi idna tqdm fsspec
pytorch-metric-learning faiss-cpu"

fail() { printf 'pack_gpu: %s\n' "$1" >&2; exit 1; }
[ -x "$PYTHON" ] || fail "there is no $PYTHON: run 'make setup', or name a Python with pip: PYTHON=..."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$FOLDER"
rm -f "$FOLDER"/*.whl

# The locked lines of one package, hashes and all; without markers, which pip would read for the
# Python it runs on.
locked() {
    awk -v name="$1" '
        /^[A-Za-z0-9]/ { split($1, pin, "=="); take = pin[1] == name && !/version < .3\.12/
                         sub(/ ;.*/, " \\") }
        take && !/^ +#/ { print }' requirements.lock
}

: > "$work/wheels.txt"
for package in $PACKAGES; do
    locked "$package" > "$work/one.txt"
    [ -s "$work/one.txt" ] || fail "requirements.lock has no $package: mend the list in this script"
    if [ "$package" = antlr4-python3-runtime ]; then  # published as source only
        "$PYTHON" -m pip wheel -qq --no-deps --require-hashes -w "$FOLDER" -r "$work/one.txt"
    else
        cat "$work/one.txt" >> "$work/wheels.txt"
    fi
done
"$PYTHON" -m pip download -qq --no-deps --require-hashes --only-binary=:all: --python-version 3.12 \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_24_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 -d "$FOLDER" -r "$work/wheels.txt"
"$(dirname "$PYTHON")/uv" build -q --no-create-gitignore --wheel --python "$TARGET" -o "$FOLDER" . ||
    fail "our wheel was not built. It needs Python 3.12 and a C++ compiler: name the Python by TARGET=..."
unzip -l "$FOLDER"/lookalike-*.whl | grep -q '_native.*cpython-312' ||
    fail "our wheel holds no native kernels: look at the compiler's messages ('uv build --wheel')"
# There it serves the checkout by its kernels, and only the sources that it was built of.
(cd src/lookalike/ops/native && cat CMakeLists.txt ./*.cpp ./*.hpp | sha256sum | cut -d ' ' -f 1) \
    > "$FOLDER/native.sha256"

size() { du -sm "$FOLDER" | cut -f 1; }
left_out=
for package in $(printf '%s\n' $PACKAGES | tac); do
    [ "$(size)" -ge "$LIMIT_MIB" ] || break
    rm -f "$FOLDER/$(printf %s "$package" | tr - _)"-*.whl
    left_out="$left_out $package"
done
printf 'pack_gpu: %s MiB in %s, %s wheels%s\n' "$(size)" "$FOLDER" "$(ls "$FOLDER" | grep -c whl)" \
    "${left_out:+; no room for:$left_out}"
