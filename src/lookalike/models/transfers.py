"""Between host and device without waiting: copies that run beside the work of a GPU."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Uploads:
    """Copies tensors to a device on a stream of their own.

    A copy on the stream of the work would begin when all work before it is done. This one runs
    beside it, and only what comes after waits for it. Tensors in pinned memory, as loaders give
    them, do not hold the host up either. On a CPU nothing is copied.

    Args:
        device: where to.

    >>> Uploads(torch.device("cpu"))([torch.ones(2)])
    [tensor([1., 1.])]
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, tensors: Iterable[Tensor]) -> list[Tensor]:
        """The tensors on the device, for work on its present stream."""
        if self._stream is None:
            return [tensor.to(self.device) for tensor in tensors]
        with torch.cuda.stream(self._stream):
            moved = [tensor.to(self.device, non_blocking=True) for tensor in tensors]
        present = torch.cuda.current_stream(self.device)
        present.wait_stream(self._stream)
        for tensor in moved:
            tensor.record_stream(present)  # their memory is not given away before the work is done
        return moved


class Arriving:
    """A tensor on its way from a device to the host.

    To read it waits for what was asked of the device before it, and not for what was asked since.

    Args:
        tensor: of any device; detached.

    >>> float(Arriving(torch.tensor(0.5)).read())
    0.5
    """

    def __init__(self, tensor: Tensor) -> None:
        self._there = None
        self._host = tensor.detach()
        if self._host.is_cuda:
            device = self._host.device
            host = torch.empty(self._host.shape, dtype=self._host.dtype, pin_memory=True)
            self._host = host.copy_(self._host, non_blocking=True)
            self._there = torch.cuda.current_stream(device).record_event()

    def read(self) -> Tensor:
        """The tensor on the host."""
        if self._there is not None:
            self._there.synchronize()
        return self._host.cpu()
