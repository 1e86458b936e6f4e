"""Every Triton kernel, compiled for cards that are not here."""

import importlib
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")
from triton.runtime import JITFunction

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROOM = Path(__file__).parents[2] / "src" / "lookalike" / "ops"
# Called by kernels, never launched.
PARTS = {"_above", "_value", "_slope", "_step", "_relation", "_passed", "_before", "_one_by_one"}


@pytest.fixture(scope="module")
def program():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("gpu_kernels")
    sys.path.remove(str(BENCHMARKS))


def test_no_kernel_is_left_out(program):
    compiled = {kernel.function.fn.__name__ for kernel in program.kernels()}
    found = set()
    for file in ROOM.glob("triton_*.py"):
        module = importlib.import_module(f"lookalike.ops.{file.stem}")
        found |= {name for name, value in vars(module).items() if isinstance(value, JITFunction)}
    assert found - PARTS == compiled


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_without_a_card_and_spill_nothing(program, capability):
    for kernel in program.kernels():
        found = program.resources(kernel, capability)
        assert found["spilled"] == 0, kernel.name
        assert found["warps"] >= 8, kernel.name
