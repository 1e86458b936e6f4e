"""Everything a run needs to go on as if it had never stopped, in one file."""

from __future__ import annotations

import pickle
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lookalike.errors import ModelError, RunError
from lookalike.files import replacing
from lookalike.models.weights import fit_state

FORMAT = 1


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: the epoch under way, from 0.
        batch: batches of that epoch that are done.
        step: optimiser steps in all.
        loss_sum: sum of the losses since the last logged row.
        loss_count: how many losses that is.
        best: the best value of the monitored metric.
        best_epoch: after how many epochs it was reached.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float | None = None
    best_epoch: int | None = None


def save_checkpoint(
    path: Path,
    progress: Progress,
    *,
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    fingerprints: dict[str, str],
) -> None:
    """Write the whole state of a run, whole or not at all.

    Args:
        path: where.
        progress: how far the run is.
        model: the network.
        loss: the loss, with its proxies and memory.
        optimizer: with its moments.
        schedule: with its position.
        fingerprints: of data and config; a resume compares them.

    Raises:
        RunError: the disk refuses; the checkpoint that was there is untouched.
    """
    state = {
        "format": FORMAT,
        "progress": asdict(progress),
        "model": model.state_dict(),
        "loss": loss.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": _random_state(),
        "fingerprints": fingerprints,
    }
    with replacing(path) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's zip writer hides the disk's own error
            raise OSError(f"torch could not write it ({str(error).splitlines()[0]})") from error


def load_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    fingerprints: dict[str, str],
) -> Progress:
    """Put a saved state back into its objects.

    Raises:
        RunError: no checkpoint, a damaged one, or one of another model, config or data; the
            message says what differs.
    """
    if not path.is_file():
        raise RunError(
            f"{path} does not exist: the run never reached a checkpoint. Use --overwrite."
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunError(f"{path} is damaged ({reason}).") from error
    for name, value in fingerprints.items():
        if state["fingerprints"].get(name) != value:
            raise RunError(
                f"{path} was made with other {name} than this run has now. Resume with what it "
                "was started with, or start anew with --overwrite."
            )
    try:
        fit_state(model, state["model"], str(path))
        fit_state(loss, state["loss"], f"{path}, its loss,")
    except ModelError as error:
        raise RunError(str(error)) from error
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    _set_random_state(state["random"])
    return Progress(**state["progress"])


def _random_state() -> dict[str, Any]:
    name, keys, position, has_gauss, gauss = np.random.get_state()
    state = {
        "python": random.getstate(),
        "numpy": [name, torch.from_numpy(np.asarray(keys).copy()), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy(), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and "cuda" in state:
        torch.cuda.set_rng_state_all(state["cuda"])
