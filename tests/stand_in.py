"""A device that is not the CPU, without a card: true values on the CPU under the name ``meta``.

A tensor of it holds a tensor of the CPU. An operation that mixes the two, or a line that hands one
to numpy, fails as it does with CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
# May read tensors of two devices.
CROSSING = {aten.copy_.default, aten._to_copy.default}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default,
            aten._index_put_impl_.default}  # fmt: skip


class StandInTensor(torch.Tensor):
    """A tensor on the stand-in."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device="meta",
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"stand-in {self.held!r}"

    def numpy(self, *, force=False):
        if has_torch_function_unary(self):
            return handle_torch_function(StandInTensor.numpy, (self,), self, force=force)
        if not isinstance(self, StandInTensor):  # a mode has brought it back
            return Tensor.numpy(self, force=force)
        if not force:
            raise TypeError("can't convert a tensor of the stand-in to numpy: it is not the CPU")
        return self.detach().cpu().numpy()

    def __getitem__(self, index):
        return super().__getitem__(listed(index))

    def __setitem__(self, index, value):
        super().__setitem__(listed(index), value)

    def item(self):
        return self.detach().cpu().item()

    def tolist(self):
        return self.detach().cpu().tolist()

    def __reduce_ex__(self, protocol):
        return rebuilt, (
            self.detach().cpu(),
            self.requires_grad,
            isinstance(self, torch.nn.Parameter),
        )


def listed(index: Any) -> Any:
    """An index whose lists are tensors of the CPU: on meta torch would not even read them."""
    if isinstance(index, tuple):
        return tuple(listed(part) for part in index)
    return torch.tensor(index) if isinstance(index, list) else index


def rebuilt(held: Tensor, requires_grad: bool, is_parameter: bool) -> Tensor:
    made = StandInTensor(held)
    return (
        torch.nn.Parameter(made, requires_grad)
        if is_parameter
        else made.requires_grad_(requires_grad)
    )


class StandIn(TorchDispatchMode):
    """While on, ``device="meta"`` is the stand-in."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def run(func: Any, args: tuple, kwargs: dict) -> Any:
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    is_there = any(isinstance(x, StandInTensor) for x in tensors)
    refuse_mixtures(func, args, kwargs, tensors)
    target = kwargs.get("device")
    if target is not None:
        is_wanted = torch.device(target).type == "meta"
        kwargs = kwargs | {"device": torch.device("cpu") if is_wanted else target}
    else:
        is_wanted = is_there and not (
            func is aten.copy_.default and type(args[0]) is not StandInTensor
        )
    held_args, held_kwargs = tree_map_only(StandInTensor, lambda x: x.held, (args, kwargs))
    if func is aten._to_copy.default and held_args[0].device.type == "cpu":
        held_kwargs = {k: v for k, v in held_kwargs.items() if k not in ("device", "non_blocking")}
    result = func(*held_args, **held_kwargs)
    if is_wanted:
        result = tree_map_only(Tensor, StandInTensor, result)
    if is_there and is_wanted and target is None:
        return return_and_correct_aliasing(func, args, kwargs, result)
    return result


def refuse_mixtures(func: Any, args: tuple, kwargs: dict, tensors: list[Tensor]) -> None:
    if func in CROSSING:
        return
    if func in INDEXING:
        tensors = [x for x in (args[0], *args[2:]) if isinstance(x, Tensor)]
    kinds = {isinstance(x, StandInTensor) for x in tensors if x.dim()}
    if len(kinds) == 2 or (
        func in INDEXING
        and not any(isinstance(x, StandInTensor) for x in tensors)
        and any(isinstance(x, StandInTensor) for x in tree_leaves((args, kwargs)))
    ):
        raise RuntimeError(
            f"{func}: Expected all tensors to be on the same device, but found at least two "
            "devices, the stand-in and cpu!"
        )


def start() -> None:
    """Turn it on for this process."""
    made = torch.autocast.__init__

    class Generator(torch.Generator):
        def __new__(cls, device="cpu"):
            device = "cpu" if torch.device(device).type == "meta" else device
            return super().__new__(cls, device)

    def autocast(self, device_type, *args, **kwargs):
        made(self, "cpu" if device_type == "meta" else device_type, *args, **kwargs)

    def inference_mode(mode=True):  # its tensors skip what tells this device apart
        return torch.set_grad_enabled(not mode and torch.is_grad_enabled())

    torch.autocast.__init__ = autocast
    torch.inference_mode = inference_mode
    torch.Generator = Generator
    torch.__future__.set_swap_module_params_on_conversion(True)  # a wrapper is no .data of a tensor
    torch.serialization.add_safe_globals([rebuilt])
    StandIn().__enter__()
