"""Where curves can be watched from outside: TensorBoard always, Weights & Biases by option.

A tracker is a convenience. ``metrics.jsonl`` has everything, and a tracker that is down, full or
slow to answer never stops a training: it is dropped with one warning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, Protocol

from lookalike.config import Config
from lookalike.errors import ConfigError, suggest
from lookalike.runs import Run

KNOWN = ("wandb",)


class Tracker(Protocol):
    """Takes figures as they come."""

    name: str

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Figures of a step, by names such as ``train/loss``."""

    def close(self) -> None:
        """The run ends here, for now or for good."""


class TensorBoard:
    """Event files in the run folder.

    Args:
        folder: the run.
        step: where it goes on; later events of an earlier life are hidden.
    """

    name = "tensorboard"

    def __init__(self, folder: Run, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.tensorboard), purge_step=step)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """A scalar each."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


class WandB:
    """Weights & Biases, under the account and in the mode of its own environment variables.

    A resumed run goes on as the same one there. Steps are logged as a figure of their own, because
    W&B refuses to go back to a step it has seen, which is what a resume does.

    Args:
        folder: the run.
        config: shown beside the curves.
    """

    name = "wandb"

    def __init__(self, folder: Run, config: Config) -> None:
        import wandb

        birth = f"{folder.folder.resolve()} {folder.read_manifest()['started']}"
        given: dict[str, Any] = {
            "project": "lookalike",
            "name": folder.folder.resolve().name,
            "id": hashlib.sha256(birth.encode()).hexdigest()[:16],
            "resume": "allow",
            "dir": str(folder.folder),
            "config": asdict(config),
            "settings": wandb.Settings(
                console="off", silent=True, init_timeout=60, finish_timeout=60
            ),
        }
        self._run = wandb.init(**given | config.tracker_options)
        self._run.define_metric("*", step_metric="step")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """All at once."""
        self._run.log({**values, "step": step})

    def close(self) -> None:
        """Wait for what is still under way."""
        self._run.finish()


class Trackers:
    """All trackers of a run, none of which can stop it.

    Args:
        openers: name → opens the tracker, on its first figures.
        warn: told once about each that fails.
    """

    def __init__(
        self, openers: Mapping[str, Callable[[], Tracker]], warn: Callable[[str], None]
    ) -> None:
        self._openers = dict(openers)
        self._open: dict[str, Tracker] = {}
        self._warn = warn

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Hand figures to every tracker that is still up."""
        for name in list(self._openers):
            self._try(name, lambda tracker: tracker.log(values, step))

    def close(self) -> None:
        """Close those that are open; more figures would open them again."""
        for name in list(self._open):
            self._try(name, lambda tracker: tracker.close())
        self._open.clear()

    def _try(self, name: str, what: Callable[[Tracker], None]) -> None:
        try:
            if name not in self._open:
                self._open[name] = self._openers[name]()
            what(self._open[name])
        except Exception as error:  # whatever another's library may raise: the training goes on
            self._openers.pop(name)
            self._open.pop(name, None)
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._warn(
                f"The tracker {name} is down ({reason}). Training goes on without it; "
                "metrics.jsonl has everything."
            )


def check_tracker(config: Config) -> None:
    """Refuse a tracker that does not exist or is not installed.

    Raises:
        ConfigError: says what to write, or what to install.
    """
    name = config.tracker
    if name is None:
        if config.tracker_options:
            raise ConfigError("tracker_options: they need a tracker, such as tracker=wandb.")
        return
    if name not in KNOWN:
        raise ConfigError(f"tracker={name}: {suggest(name, KNOWN)} TensorBoard is always written.")
    if find_spec(name) is None:
        raise ConfigError(f"tracker={name}: pip install 'lookalike[{name}]'")


def open_trackers(folder: Run, config: Config, step: int, warn: Callable[[str], None]) -> Trackers:
    """The trackers of a run.

    Args:
        folder: the run.
        config: its configuration.
        step: where it begins or goes on.
        warn: told once about each tracker that fails.
    """
    openers: dict[str, Callable[[], Tracker]] = {"tensorboard": lambda: TensorBoard(folder, step)}
    if config.tracker is not None:
        openers["wandb"] = lambda: WandB(folder, config)
    return Trackers(openers, warn)
