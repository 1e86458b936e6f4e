"""Counts what a device would be asked to do, and names each place that waits for its answer.

Runs on CPU tensors, with the sizes and the choices of a CUDA device: what would be a launch there
is an operation here, and what would make the host wait for the device (a number or an array handed
to Python, a result whose size depends on values) is seen by its name.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

SOURCE = str(Path(__file__).parents[1] / "src" / "lookalike")
# Torch's optimisers count their steps in tensors that stay on the host.
OPTIMISERS = str(Path("torch") / "optim")
# Operations that only look at a tensor another way.
VIEWS = {
    "view", "_unsafe_view", "_reshape_alias", "expand", "slice", "select", "t", "transpose",
    "permute", "unsqueeze", "squeeze", "detach", "alias", "as_strided", "split", "unbind",
    "diagonal", "split_with_sizes", "unfold", "lift_fresh", "empty", "empty_like", "empty_strided",
    "new_empty", "new_empty_strided", "is_same_size", "_is_all_true", "set_", "resize_",
}  # fmt: skip
# Operations whose result, or its size, the machine must read.
ASKS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2",
    "unique_dim", "unique_consecutive", "repeat_interleave", "bincount", "allclose",
}  # fmt: skip
# Calls that hand a tensor's values to Python; torch dispatches nothing for them on a CPU.
READS = {"tolist", "numpy", "cpu", "__array__"}


class DeviceCounter:
    """Counts inside a ``with`` block.

    Attributes:
        launches: operations a device would run, by name.
        waits: how often each place waits: ``(file below lookalike, function, what)``.
    """

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.waits: Counter[tuple[str, str, str]] = Counter()

    def __enter__(self):
        self._modes = (_Reads(self), _Operations(self))
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    @property
    def total(self) -> int:
        return sum(self.launches.values())

    def wait(self, what: str) -> None:
        frame = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith(SOURCE):
            if OPTIMISERS in frame.f_code.co_filename:
                return
            frame = frame.f_back
        if frame is None:  # the test itself looks at a result
            return
        file = frame.f_code.co_filename.removeprefix(SOURCE + "/")
        self.waits[file, frame.f_code.co_qualname, what] += 1

    def launch(self, name: str) -> None:
        self.launches[name] += 1


class _Operations(TorchDispatchMode):
    def __init__(self, counter):
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if name not in VIEWS:
            self.counter.launch(name)
        if name in ASKS and not (name == "repeat_interleave" and (kwargs or {}).get("output_size")):
            self.counter.wait(name)
        elif name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            if masks:
                self.counter.wait("a mask as an index")
        return func(*args, **(kwargs or {}))


class _Reads(TorchFunctionMode):
    def __init__(self, counter):
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in READS:
            self.counter.wait(name)
        return func(*args, **(kwargs or {}))
