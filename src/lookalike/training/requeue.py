"""One command for a scheduler to repeat: it begins a run, goes on with it, or finds it done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lookalike import distributed
from lookalike.compose import compose, read_config, with_defaults
from lookalike.config import Config
from lookalike.errors import Busy, ConfigError, LookalikeError
from lookalike.locks import only_writer
from lookalike.runs import Run

Resume = bool | Literal["auto"]

DECIDED = (
    "batch_size",
    "interpolate",
    "dataset.hold_out",
    "dataset.hold_out_seed",
)  # by a run, if not said
# What a resumed run may change: nothing of it touches the numbers.
RESUMABLE = ("run", "workers", "device", "checkpoint", "tracker", "tracker_options")


def named_folder(overrides: Sequence[str], flag: str) -> str:
    """The folder that ``run=`` names.

    Raises:
        ConfigError: it names none.
    """
    found = next((o.partition("=")[2] for o in overrides if o.startswith("run=")), "")
    if not found:
        raise ConfigError(f"{flag} needs the run's folder: run=runs/x.")
    return found


def decide(
    overrides: Sequence[str],
    keeps: str = "config.yaml",
    more: Sequence[str] = (),
    describe: Callable[[Config], Config] = lambda config: config,
) -> tuple[list[str], bool, bool]:
    """What ``--resume=auto`` means now.

    Args:
        overrides: the options as given.
        keeps: the file that tells that something was begun in the folder.
        more: options that may change, beside ``RESUMABLE``.
        describe: writes objects that the caller hands over into the configuration.

    Returns:
        the options to go on with, whether the run is resumed, and whether it is finished.

    Raises:
        ConfigError: no folder is named, or the run there was begun with other options.
    """
    answer: Any = None
    if distributed.is_main():  # one process looks; another might look a moment later
        try:
            answer = _decide(overrides, keeps, (*RESUMABLE, *more), describe)
        except LookalikeError as error:
            answer = error
    answer = distributed.broadcast_object(answer)
    if isinstance(answer, LookalikeError):
        raise answer
    return answer


def _decide(
    overrides: Sequence[str],
    keeps: str,
    free: Sequence[str],
    describe: Callable[[Config], Config],
) -> tuple[list[str], bool, bool]:
    run = Run(Path(named_folder(overrides, "--resume=auto")).expanduser())
    if not (run.folder / keeps).is_file():
        return list(overrides), False, False
    kept = [o for o in overrides if _is_free(o.partition("=")[0], free)]
    _refuse_other_options(run, describe(compose(overrides)), free)
    return kept, True, run.begun and run.finished


def _is_free(key: str, free: Sequence[str]) -> bool:
    return key.partition(".")[0] in free or key in free


def _refuse_other_options(run: Run, asked_for: Config, free: Sequence[str]) -> None:
    """A scheduler that repeats a command gives the same options; another run is another folder."""
    # Defaults count on both sides: runs of before they were written down have them all the same,
    # and a command need not name them.
    stored, asked = (_flat(with_defaults(c)) for c in (read_config(run.config), asked_for))
    differ = [
        key
        for key in sorted(stored.keys() | asked.keys())
        if not _is_free(key, free)
        and stored.get(key) != asked.get(key)
        and not (key in DECIDED and asked.get(key) is None)
    ]
    if differ:
        key = differ[0]
        more = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise ConfigError(
            f"{run.folder} was begun with {key}={stored.get(key)}, this command says "
            f"{key}={asked.get(key)}{more}. Give the same options, or another folder: run=…"
        )


def _flat(config: Config) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict) and node:
            for name, child in node.items():
                walk(child, f"{path}.{name}" if path else str(name))
        else:
            flat[path] = list(node) if isinstance(node, tuple) else node

    walk(asdict(config), "")
    return flat


@contextmanager
def writing(folder: Path, what: str) -> Iterator[None]:
    """The main process alone holds the lock; where it cannot, every process says so.

    Raises:
        Busy: another process holds it.
    """
    if not distributed.is_main():
        refused = distributed.broadcast_object(None)
        if refused is not None:
            raise Busy(refused)
        yield
        return
    try:
        lock = only_writer(folder, what)
        lock.__enter__()
    except LookalikeError as error:
        distributed.broadcast_object(str(error))
        raise
    try:
        distributed.broadcast_object(None)
        yield
    finally:
        lock.__exit__(None, None, None)
