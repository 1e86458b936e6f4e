"""Everything a run needs to go on as if it had never stopped, in one file that checks itself."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from lookalike.errors import ModelError, RunError
from lookalike.files import replacing
from lookalike.models.weights import fit_state

FORMAT = 2
LAST = "last.pt"
PREVIOUS = "previous.pt"


class Stateful(Protocol):
    """What has a state to save: models, losses, optimisers, scalers, averages."""

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Put it back."""


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
        stale: evaluations since then.
        stopped: the run ended before its last epoch, because nothing got better.
        micro_batch: images at a time, as they were found from free memory.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float | None = None
    best_epoch: int | None = None
    stale: int = 0
    stopped: bool = False
    micro_batch: int | None = None

    def ended(self, epochs: int) -> bool:
        """Whether a run of so many epochs has nothing left to train."""
        return self.stopped or self.epoch >= epochs


def save_checkpoint(
    folder: Path,
    progress: Progress,
    parts: Mapping[str, Stateful],
    facts: Mapping[str, Mapping[str, Any]],
    *,
    write: bool = True,
) -> None:
    """Write the whole state of a run to ``last.pt``, whole or not at all.

    The checkpoint before it stays as ``previous.pt``, should this one be damaged later. Each ends
    with the SHA-256 of what comes before (as a zip file's comment, so that ``torch.load`` reads it
    all the same).

    Args:
        folder: of the run's checkpoints.
        progress: how far the run is.
        parts: model, loss with its proxies and memory, optimisers, …, by name.
        facts: of data and options, flat; a resume compares them key by key.
        write: whether this process does; with several all must call this, for sharded parts are
            gathered.

    Raises:
        RunError: the disk refuses; the checkpoints that were there are untouched.
    """
    state = {
        "format": FORMAT,
        "progress": asdict(progress),
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "random": _random_state(),
        "facts": {name: dict(values) for name, values in facts.items()},
    }
    if not write:
        return
    fresh, last = folder / "new.pt", folder / LAST
    with replacing(fresh) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # torch's zip writer hides the disk's own error
            raise OSError(f"torch could not write it ({str(error).splitlines()[0]})") from error
        _seal(part)
    if last.exists():
        last.replace(folder / PREVIOUS)
    fresh.replace(last)


def keep(folder: Path, name: str) -> None:
    """Keep the last checkpoint for good under another name."""
    last = folder / LAST
    with replacing(folder / name) as copy:
        try:
            os.link(last, copy)  # checkpoints are replaced, never written into
        except OSError:  # a file system without links
            shutil.copyfile(last, copy)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is anything to resume, whole or not."""
    return any((folder / name).is_file() for name in (LAST, PREVIOUS))


def latest_checkpoint(folder: Path) -> tuple[Path, dict[str, Any], str | None]:
    """The newest whole checkpoint, its state, and a note where that is not the last one.

    Raises:
        RunError: there is none, or none is whole; every file is named.
    """
    found = [path for path in (folder / LAST, folder / PREVIOUS) if path.is_file()]
    if not found:
        raise RunError(
            f"{folder / LAST} does not exist: the run never reached a checkpoint. Use --overwrite."
        )
    notes: list[str] = []
    for path in found:
        try:
            state = _read(path)
        except RunError as error:
            notes.append(str(error))
            continue
        notes.append(f"Going on from {path}, step {state['progress']['step']}.")
        return path, state, " ".join(notes) if len(notes) > 1 else None
    raise RunError(" ".join([*notes, "Nothing to go on from: start anew with --overwrite."]))


def restore(
    state: Mapping[str, Any],
    source: Path,
    parts: Mapping[str, Stateful],
    facts: Mapping[str, Mapping[str, Any]],
) -> Progress:
    """Put a saved state back into its objects.

    Args:
        state: as :func:`latest_checkpoint` gave it.
        source: the file, for messages.
        parts: as at :func:`save_checkpoint`.
        facts: as they are now.

    Raises:
        RunError: a state of another model, loss, optimiser, config or data; the message names the
            keys that differ.
    """
    if state.get("format") != FORMAT:
        raise RunError(
            f"{source} has format {state.get('format')}, this lookalike reads {FORMAT}. Resume "
            "with the version that began the run, or start anew with --overwrite."
        )
    for name, here in facts.items():
        if differing := _differences(state["facts"].get(name, {}), here):
            raise RunError(
                f"{source} was made with other {name} than this run has now: "
                f"{'; '.join(differing)}. Resume with what it was started with, or start anew with "
                "--overwrite."
            )
    saved = state["parts"]
    if missing := sorted(set(parts) ^ set(saved)):
        raise RunError(f"{source} is of another kind of run: {', '.join(missing)} differ.")
    for name, part in parts.items():
        _put_back(part, saved[name], str(source) if name == "model" else f"{source}, its {name},")
    _set_random_state(state["random"])
    return Progress(**state["progress"])


def _put_back(part: Stateful, saved: Any, where: str) -> None:
    try:
        part.load_state_dict(saved)
    except (ValueError, KeyError, RuntimeError) as error:
        if isinstance(part, nn.Module):  # which says the same in other words
            try:
                fit_state(part, saved, where)
            except ModelError as named:
                raise RunError(str(named)) from error
        raise RunError(f"{where} does not fit this run: {error}.") from error


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} was {there.get(key)} and is {here.get(key)}"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]


# ── the file ────────────────────────────────────────────────────────────────────────────────────

_DIGEST = 64  # characters of a SHA-256 in hexadecimal, the comment of the zip file
_MARK = _DIGEST.to_bytes(2, "little")


def _seal(path: Path) -> None:
    """Append the digest as the zip file's comment, whose length is the file's last two bytes."""
    with path.open("r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.truncate()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(_MARK + digest.encode())


def _read(path: Path) -> dict[str, Any]:
    if not _whole(path):
        raise RunError(f"{path} is damaged (its checksum is another).")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunError(f"{path} is damaged ({reason}).") from error


def _whole(path: Path) -> bool:
    digest = hashlib.sha256()
    remaining = path.stat().st_size - _DIGEST - 2
    with path.open("rb") as file:
        while remaining > 0:
            block = file.read(min(remaining, 1 << 20))
            if not block:
                return False
            digest.update(block)
            remaining -= len(block)
        return file.read() == _MARK + digest.hexdigest().encode()


# ── random numbers ──────────────────────────────────────────────────────────────────────────────


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
