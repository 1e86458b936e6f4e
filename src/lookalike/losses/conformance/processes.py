"""The distributed law of losses, on real processes: k with b images are one with k · b."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lookalike.distributed import gather
from lookalike.errors import counted

Work = tuple[nn.Module, Tensor, Tensor]  # a loss in float64, embeddings, labels (or a teacher's)
_PATIENCE = timedelta(seconds=120)  # for another process to arrive at a gather
_LIMIT = 400  # seconds a process may take, its start included


def check_processes(work: Mapping[str, Work], processes: int) -> None:
    """Compare ``processes`` gloo processes with this one, on every loss.

    Raises:
        AssertionError: a loss or gradient that differs, or a loss that cannot be handed over.
    """
    wrong = []
    results = _start(work, processes)
    for name, (loss, x, second) in work.items():
        want = step(loss, x, second)
        for rank, result in enumerate(results):
            got = result[name]
            if isinstance(got, str):
                wrong.append(f"{name} fails 'distributed' in process {rank}: {got}")
            else:
                wrong += _differences(name, rank, got, want, processes)
    if wrong:
        raise AssertionError("\n".join(wrong))


def step(loss: nn.Module, x: Tensor, second: Tensor) -> dict[str, Tensor]:
    """The loss of all processes' rows, and the gradients of model and loss averaged over them."""
    width = x.shape[-1]
    model = torch.eye(width, dtype=x.dtype) + torch.ones(width, width, dtype=x.dtype) / 10
    model.requires_grad_()
    torch.manual_seed(0)
    value = loss(gather(x @ model), gather(second))
    value.backward()
    parameters = {"model": model, **dict(loss.named_parameters())}
    result = {"loss": value.detach()}
    for name, parameter in parameters.items():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if dist.is_initialized():
            dist.all_reduce(gradient)
            gradient /= dist.get_world_size()
        result[f"the gradient at {name}"] = gradient
    return result


def _differences(
    name: str, rank: int, got: dict[str, Tensor], want: dict[str, Tensor], processes: int
) -> list[str]:
    wrong = []
    for what, value in want.items():
        error = (got[what] - value).abs().max().item()
        if not error <= 1e-9 * max(1e-3, value.abs().max().item()):
            wrong.append(
                f"{name} fails 'distributed': {what} is {got[what].norm().item()!r} in process "
                f"{rank} of {processes} and {value.norm().item()!r} in one (norms)"
            )
    return wrong


def _start(work: Mapping[str, Work], processes: int) -> list[dict[str, dict[str, Tensor] | str]]:
    """Run the work in fresh processes and collect what each found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            (folder / "work").write_bytes(pickle.dumps(dict(work)))
        except Exception as error:
            raise AssertionError(
                f"'distributed' needs losses that can be pickled, and one cannot: {error}. Define "
                "its class in a module, or skip the property."
            ) from error
        code = f"from {__name__} import main; main()"
        # Fresh interpreters, not forks: autograd's threads do not survive a fork.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder), str(rank), str(processes)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(processes)
        ]
        try:
            said = [process.communicate(timeout=_LIMIT)[1] for process in started]
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"'distributed': no end after {counted(_LIMIT, 'second')}"
            ) from error
        finally:
            for process in started:
                process.kill()
                process.wait()
        for rank, process in enumerate(started):
            if process.returncode:
                raise AssertionError(f"'distributed': process {rank} ended badly: {said[rank]}")
        return [torch.load(folder / f"found{rank}") for rank in range(processes)]


def main() -> None:
    """One of the processes: its share of every batch, its findings into a file."""
    folder, rank, processes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=processes,
        timeout=_PATIENCE,
    )
    found: dict[str, dict[str, Tensor] | str] = {}
    # Written by the process that started this one.
    work: dict[str, Work] = pickle.loads((folder / "work").read_bytes())
    for name, (loss, x, second) in work.items():
        own = slice(rank * len(x) // processes, (rank + 1) * len(x) // processes)
        try:
            found[name] = step(loss, x[own], second[own])
        except Exception:
            found[name] = traceback.format_exc()
    torch.save(found, folder / f"found{rank}")
    dist.barrier()
    dist.destroy_process_group()
