"""Run tests that make their tensors by hand on another device: LOOKALIKE_TEST_DEVICE=cuda pytest.

What a *test file* makes is moved to the device: tensors (drawn on the CPU first, so that they have
the values that they have there) and modules. What it compares or hands to numpy comes back. What
the library does is left alone, so a line of it that forgets ``device=`` fails as it would for a
user; the two are told apart by the file of the calling frame.

``LOOKALIKE_TEST_DEVICE=stand-in`` needs no card: see ``stand_in.py``.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, handle_torch_function
from torch.utils._pytree import tree_leaves, tree_map_only

from lookalike import calls

TESTS = Path(__file__).parent
ROOMS = ("ops", "losses", "metrics", "training", "discover")
FOLDERS = tuple(f"{TESTS / room}{os.sep}" for room in ROOMS)
# Between a test and what it calls: these say nothing of who called. ``calls`` wraps constructors.
OTHERS = (
    *(f"{Path(package.__file__).parent}{os.sep}" for package in (torch, numpy)),
    str(calls.__file__),
)
NAMES = """arange as_tensor asarray complex empty eye full linspace logspace normal ones rand
randint randn randperm scalar_tensor tensor tril_indices triu_indices zeros"""
MAKERS = {getattr(torch, name) for name in NAMES.split()}
COPIES = {torch.tensor, torch.as_tensor, torch.asarray}
DRAWN_ALIKE = {torch.rand_like, torch.randn_like, torch.randint_like}
TO_NUMPY = {"numpy", "__array__"}


def device() -> torch.device:
    """The device that tests are to run on."""
    name = os.environ.get("LOOKALIKE_TEST_DEVICE", "cpu")
    return torch.device("meta" if name == "stand-in" else name)


def is_test(frame: FrameType | None) -> bool:
    """Whether a frame is of a test file of the rooms that run on any device."""
    return frame is not None and frame.f_code.co_filename.startswith(FOLDERS)


def caller(frame: FrameType | None) -> FrameType | None:
    """The first frame that is not one between."""
    while frame is not None and frame.f_code.co_filename.startswith((*OTHERS, "<")):
        frame = frame.f_back
    return frame


class OnDevice(TorchFunctionMode):
    """Moves what test files make to the device, and what they compare with numpy back."""

    def __init__(self, target: torch.device) -> None:
        super().__init__()
        self.target = target

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        frame = sys._getframe(1)
        if frame.f_code is handle_torch_function.__code__:  # a function of torch written in Python
            frame = frame.f_back.f_back
        if getattr(func, "__name__", None) in TO_NUMPY and is_test(caller(frame)):
            return func(args[0].cpu(), *args[1:], **kwargs)
        if func in COPIES and self.target == kwargs.get("device") == torch.device("meta"):
            kwargs = {key: value for key, value in kwargs.items() if key != "device"}
            return func(*args, **kwargs).to(self.target)  # torch asks no mode for these on meta
        if not is_test(frame):
            return func(*args, **kwargs)
        if func in MAKERS and "out" not in kwargs and kwargs.get("device") is None:
            needs_gradient = kwargs.pop("requires_grad", False)
            args, kwargs = self.move((args, kwargs), torch.device("cpu"))
            return func(*args, **kwargs).to(self.target).requires_grad_(needs_gradient)
        generator = kwargs.get("generator")
        if func in DRAWN_ALIKE or (generator is not None and generator.device.type == "cpu"):
            return self.drawn(func, args, kwargs)
        args, kwargs = self.together(func, args, kwargs)
        return func(*args, **kwargs)

    def drawn(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Draw on the CPU, by its generator, and move the draws."""
        there, options = self.move((args, kwargs), torch.device("cpu"))
        result = self.move(func(*there, **options), self.target)
        if func.__name__.endswith("_"):
            args[0].detach().copy_(result)
            return args[0]
        return result

    def together(self, func: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """The arguments on one device: that of the tensor that is written to, else the target."""
        kinds = {x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if len(kinds) < 2:
            return args, kwargs
        writes = func.__name__.endswith("_") and isinstance(args[0], Tensor)
        return self.move((args, kwargs), args[0].device if writes else self.target)

    @staticmethod
    def move(tree: Any, target: torch.device) -> Any:
        return tree_map_only(Tensor, lambda x: x.to(target), tree)


def moving_modules(target: torch.device) -> None:
    """Move every module that a test file makes, when it is made."""

    def wrap(cls: type) -> None:
        made = cls.__init__

        @functools.wraps(made)
        def init(self, *args, **kwargs):
            made(self, *args, **kwargs)
            if type(self) is cls and is_test(caller(sys._getframe(1))):
                self.to(target)

        cls.__init__ = init

    def wrap_all(cls: type) -> None:
        for below in cls.__subclasses__():
            wrap(below)
            wrap_all(below)

    def of_new(cls, **kwargs):
        super(nn.Module, cls).__init_subclass__(**kwargs)
        wrap(cls)

    wrap_all(nn.Module)
    nn.Module.__init_subclass__ = classmethod(of_new)


def start() -> None:
    """Turn it on for this process; pytest's configuration calls it, where the device is another."""
    target = device()
    if target.type == "meta":
        import stand_in

        stand_in.start()
    # Values are compared with the CPU's, and runs with themselves: by itself cuDNN rounds the
    # factors of convolutions, and adds up their gradients in whatever order is fastest.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    moving_modules(target)
    OnDevice(target).__enter__()
    from_numpy, assert_close = torch.from_numpy, torch.testing.assert_close

    def from_numpy_here(array):
        made = from_numpy(array)
        return made.to(target) if is_test(sys._getframe(1)) else made

    def assert_close_here(actual, expected, **options):
        if is_test(sys._getframe(1)):
            actual, expected = OnDevice.move((actual, expected), torch.device("cpu"))
        assert_close(actual, expected, **options)

    torch.from_numpy, torch.testing.assert_close = from_numpy_here, assert_close_here
