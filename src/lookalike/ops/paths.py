"""Which path the kernels take on this machine, and why: native, Triton, compiled or plain torch.

``LOOKALIKE_NATIVE=0`` turns the native library off; naming an instruction set (``avx512``,
``avx2``, ``baseline``) holds it to that one. ``LOOKALIKE_TRITON=0`` turns Triton off.
``LOOKALIKE_COMPILE=1``, or a loss given to ``torch.compile``, fuses what is left to plain torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from lookalike.errors import LookalikeError, suggest

if TYPE_CHECKING:
    from torch import Tensor

# The signatures that this version calls; src/lookalike/ops/native/module.cpp has the same number.
INTERFACE = 7


@dataclass(frozen=True)
class Status:
    """One path: whether it is taken, and the reason in words.

    Attributes:
        name: ``"native"``, ``"triton"``, ``"compiled"`` or ``"torch"``.
        active: whether tensors that suit it take it.
        reason: for the person who runs ``lookalike doctor``.
    """

    name: str
    active: bool
    reason: str


def status() -> list[Status]:
    """The four paths, best first for a CPU.

    >>> [path.name for path in status()]
    ['native', 'triton', 'compiled', 'torch']
    """
    library, reason = _library()
    active = library is not None and instruction_set() is not None
    if library is not None:
        reason = (
            f"built; uses {instruction_set()}, this processor has {', '.join(_instruction_sets())}"
            if active
            else "built, but turned off by LOOKALIKE_NATIVE=0"
        )
    return [
        Status("native", active, f"{reason} (float32 on the CPU)"),
        Status("triton", triton_reason() is None, triton_reason() or "for tensors on CUDA"),
        Status("compiled", compiles(), _compile_reason()),
        Status("torch", True, "for all else"),
    ]


def native() -> ModuleType | None:
    """The compiled kernels, or None where they are not built or turned off."""
    return _library()[0] if instruction_set() is not None else None


def instruction_set() -> str | None:
    """Which variant of the native kernels to call; None when they are off or missing."""
    if _library()[0] is None:
        return None
    known = _instruction_sets()
    wish = os.environ.get("LOOKALIKE_NATIVE", "1")
    if wish in ("", "1"):
        return known[0]
    if wish == "0":
        return None
    if wish not in known:
        raise LookalikeError(f"LOOKALIKE_NATIVE={wish}: {suggest(wish, ['0', '1', *known])}")
    return wish


def triton_suits(scores: Tensor) -> bool:
    """Whether the Triton kernels can and may take these scores."""
    import torch

    is_plain = scores.dtype == torch.float32 and scores.is_contiguous()
    return _triton_reaches(scores) and is_plain and triton_reason() is None


def triton_counts(scores: Tensor) -> bool:
    """Whether Triton can and may count the scores of a tile; its rows may lie apart."""
    return _triton_reaches(scores) and scores.stride(1) == 1 and triton_reason() is None


def _triton_reaches(scores: Tensor) -> bool:
    return scores.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"


def triton_reason() -> str | None:
    """Why Triton is not used, or None when it is."""
    import torch

    if os.environ.get("LOOKALIKE_TRITON", "1") == "0":
        return "turned off by LOOKALIKE_TRITON=0"
    if not _has_triton():
        return "the package triton is not installed"
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    return None


_asked: ContextVar[bool] = ContextVar("asked to compile", default=False)


@contextmanager
def compiling(asked: bool) -> Iterator[None]:
    """Let torch compile the kernels inside, if asked; else leave things as they are."""
    token = _asked.set(asked or _asked.get())
    try:
        yield
    finally:
        _asked.reset(token)


def compiles() -> bool:
    """Whether the kernels that neither native nor Triton takes are to be compiled by torch."""
    wish = os.environ.get("LOOKALIKE_COMPILE", "0")
    if wish not in ("", "0", "1"):
        raise LookalikeError(f"LOOKALIKE_COMPILE={wish}: must be 0 or 1.")
    return wish == "1" or _asked.get()


def _compile_reason() -> str:
    if compiles():
        return "asked for: the soft steps that neither of the above takes, half a minute at first"
    return "not asked for; LOOKALIKE_COMPILE=1 or torch.compile(loss) does"


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


@cache
def _library() -> tuple[ModuleType | None, str]:
    try:
        library = import_module("lookalike.ops._native")
    except ModuleNotFoundError:
        return None, "not built: there was no C++ compiler when lookalike was installed"
    except ImportError as error:
        return None, f"built, but it does not load here: {error}"
    if getattr(library, "interface", 0) != INTERFACE:
        return None, "built by another version of lookalike: install this one again"
    return library, "built"


@cache
def _instruction_sets() -> list[str]:
    library = _library()[0]
    return [] if library is None else library.instruction_sets()
