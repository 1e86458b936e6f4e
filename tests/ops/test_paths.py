"""Which path is taken, and what is said about it."""

import subprocess
import sys

import pytest

from lookalike.errors import LookalikeError
from lookalike.ops import paths

is_built = pytest.mark.skipif(not paths._instruction_sets(), reason="no native library")


def test_every_path_gives_its_reason():
    names = [path.name for path in paths.status()]
    assert names == ["native", "triton", "compiled", "torch"]
    assert all(path.reason for path in paths.status())


@is_built
def test_native_can_be_turned_off_and_held_to_a_set(monkeypatch):
    monkeypatch.setenv("LOOKALIKE_NATIVE", "0")
    assert paths.native() is None
    assert "LOOKALIKE_NATIVE=0" in paths.status()[0].reason
    monkeypatch.setenv("LOOKALIKE_NATIVE", "baseline")
    assert paths.native() is not None
    assert "uses baseline" in paths.status()[0].reason
    monkeypatch.setenv("LOOKALIKE_NATIVE", "base")
    with pytest.raises(LookalikeError, match="Did you mean 'baseline'"):
        paths.instruction_set()


@is_built
def test_a_library_of_another_version_is_left_alone(monkeypatch):
    monkeypatch.setattr(paths, "INTERFACE", -1)
    paths._library.cache_clear()
    paths._instruction_sets.cache_clear()
    try:
        assert paths.native() is None
        assert "install this one again" in paths.status()[0].reason
    finally:
        monkeypatch.undo()
        paths._library.cache_clear()
        paths._instruction_sets.cache_clear()
    assert paths.native() is not None


def test_nothing_is_compiled_unless_asked(monkeypatch):
    monkeypatch.delenv("LOOKALIKE_COMPILE", raising=False)
    assert not paths.compiles()
    assert not paths.status()[2].active
    with paths.compiling(True):
        assert paths.compiles()
        with paths.compiling(False):
            assert paths.compiles()
    assert not paths.compiles()
    monkeypatch.setenv("LOOKALIKE_COMPILE", "1")
    assert paths.status()[2].active
    monkeypatch.setenv("LOOKALIKE_COMPILE", "yes")
    with pytest.raises(LookalikeError, match="must be 0 or 1"):
        paths.compiles()


@pytest.mark.slow
@pytest.mark.cpu("a process of its own")
def test_without_the_library_the_losses_work_all_the_same():
    code = """
import sys
sys.modules["lookalike.ops._native"] = None
import torch
from lookalike.losses import SupAP
from lookalike.ops import paths
assert paths.native() is None
print(paths.status()[0].reason)
x = torch.eye(4)[[0, 0, 1, 1]].requires_grad_()
value = SupAP()(x, torch.tensor([0, 0, 1, 1]))
value.backward()
assert "sympy" not in sys.modules, "seconds of imports that nobody asked for"
print(float(value))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    reason, value = run.stdout.splitlines()
    assert reason.startswith("not built")
    assert float(value) == 0.0
