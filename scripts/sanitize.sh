#!/bin/sh
# Build the native kernels with AddressSanitizer and UndefinedBehaviorSanitizer, and run their tests.
set -eu
VENV="${VENV:-.venv}"
PYTHON="$PWD/$VENV/bin/python"
PATH="$PWD/$VENV/bin:$PATH"

command -v g++ >/dev/null 2>&1 || { printf 'sanitize: no g++ here, so there are no kernels to check\n'; exit 0; }
ASAN="$(g++ -print-file-name=libasan.so)"
UBSAN="$(g++ -print-file-name=libubsan.so)"
[ -f "$ASAN" ] || { printf 'sanitize: this g++ has no AddressSanitizer; install libasan\n' >&2; exit 1; }

FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1"
mkdir -p build/sanitized/package
# A copy of the sources, so that the kernels in daily use stay what they are.
cp -R src/lookalike build/sanitized/package/
rm -f build/sanitized/package/lookalike/ops/_native*.so
# Without optimisation, but for the loops, which say their own: two thirds of the compiler's time.
cmake -S src/lookalike/ops/native -B build/sanitized/cmake -G Ninja -DCMAKE_BUILD_TYPE=None \
    -DCMAKE_CXX_FLAGS="$FLAGS" -DPython_EXECUTABLE="$PYTHON" -DSKBUILD=2 -DSKBUILD_STATE=wheel >build/sanitized/cmake.log
cmake --build build/sanitized/cmake >>build/sanitized/cmake.log
cp build/sanitized/cmake/_native*.so build/sanitized/package/lookalike/ops/

# The editable installation finds the package before any path does: every process here forgets it.
cat >build/sanitized/package/sitecustomize.py <<'FORGET'
import sys

sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable")]
FORGET

# The interpreter itself leaks and is not instrumented: its allocator and leaks are not looked at.
export LD_PRELOAD="$ASAN $UBSAN" ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
export PYTHONMALLOC=malloc PYTHONPATH="$PWD/build/sanitized/package" OMP_NUM_THREADS=1
"$PYTHON" -c 'import lookalike.ops._native as n; assert "sanitized" in n.__file__, n.__file__'
# Only tests whose calls reach native code (0 is torch's own path). Sixteen gigabytes that are hardly
# touched would have two of shadow.
exec "$PYTHON" -m pytest -q -p no:cacheprovider -n 2 -m "not slow and not soak" \
    -k 'not two_to_the_31 and not 32_bits and not accelerators and not three_pieces and not [0- and not -0-' "$@" \
    tests/ops/test_native_bounds.py tests/ops/test_soft_kernels.py tests/metrics/test_exact_ranks.py \
    tests/metrics/test_retrieval.py::test_native_and_numpy_give_the_same_bits
