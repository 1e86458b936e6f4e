"""Train a run from its options: begin it, go on with it, or find it done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from lookalike import distributed
from lookalike.compose import compose, read_config, with_defaults
from lookalike.config import Config
from lookalike.console import Console
from lookalike.errors import ConfigError, Interrupted, RunError, lost_worker
from lookalike.runs import Run, next_folder
from lookalike.training.checks import check
from lookalike.training.given import Given
from lookalike.training.requeue import RESUMABLE, Resume, decide, named_folder, writing


def run_training(
    overrides: Sequence[str],
    *,
    resume: Resume = False,
    overwrite: bool = False,
    quiet: bool = False,
    silent: bool = False,
    trace: str | Path | None = None,
    given: Given | None = None,
    library: bool = False,
) -> Path:
    """Train a model and return its run folder.

    Args:
        overrides: groups and options, as on the command line.
        resume: go on with the run in ``run=FOLDER``; ``"auto"``: begin it, go on with it, or leave
            it where it is finished, so that a scheduler may repeat the same command.
        overwrite: replace the run that is there.
        quiet: plain lines instead of a progress bar.
        silent: nothing on the terminal.
        trace: file for losses, rates, norms and batches of every step, see
            `lookalike.training.trace.Trace`; `lookalike compare --trace` reads two of them. A
            resumed run goes on in it.
        given: objects in place of what the options name.
        library: lines go to the logger ``lookalike`` instead of the terminal, and the bar is one
            that a notebook can show.

    Raises:
        ConfigError: an option that cannot be.
        DataError: data that cannot be used.
        Busy: another process trains in this run folder.
        RunError: a run folder that is in the way, or cannot be resumed.
    """
    distributed.start()
    given = given or Given()
    console = Console(quiet=quiet, silent=silent or not distributed.is_main(), library=library)
    try:
        if resume == "auto":
            overrides, resume, done = decide(overrides, describe=partial(_described, given))
            if done:
                return _say_done(overrides, console)
        elif distributed.restarts_allowed():
            overrides, resume, overwrite = _elastic(overrides, resume=resume, overwrite=overwrite)
        folder, config = _prepare(overrides, given, resume=resume, overwrite=overwrite)
        traced = _trace(trace, config, replace=resume or overwrite)
        # The network libraries take seconds to import: not before the options are known to be
        # right.
        from lookalike.training.trainer import Training

        with writing(folder.folder, "run"), _status(folder):
            training = Training(folder, config, console, trace=traced, given=given)
            training.train(resume=resume, overwrite=overwrite)
    finally:
        distributed.stop()
    return folder.folder


def _trace(file: str | Path | None, config: Config, *, replace: bool) -> Path | None:
    """The file of a trace, if one is wanted and may be written."""
    if file is None:
        return None
    if config.fsdp:
        raise ConfigError("--trace does not go with fsdp=true: no process sees a whole gradient.")
    path = Path(file).expanduser()
    if path.is_dir() or (path.exists() and not replace):
        raise ConfigError(f"--trace {path} is there already; name another file, or --overwrite.")
    return path


def _say_done(overrides: Sequence[str], console: Console) -> Path:
    run = Run(named_folder(overrides, "--resume=auto"))
    console.say(f"{run.folder} is finished; nothing is left to do. Its report: {run.report}")
    return run.folder


@contextmanager
def _status(folder: Run) -> Iterator[None]:
    """Let the manifest say how a run ended that did not end well."""
    try:
        yield
    except Interrupted:
        raise
    except BaseException as error:
        said = lost_worker(error) or error
        # A refusal before it was under way, such as to resume a finished run, changes nothing.
        under_way = folder.begun and folder.read_manifest()["status"] == "running"
        if distributed.is_main() and under_way:
            with suppress(RunError):  # a full disk has no room for this either
                folder.write_manifest(status="failed", reason=str(said) or type(said).__name__)
        if said is error:
            raise
        raise said from error


def _elastic(
    overrides: Sequence[str], *, resume: bool, overwrite: bool
) -> tuple[list[str], bool, bool]:
    """What torchrun's restart of all processes means, after one has died: go on with the run.

    torchrun repeats the command it was given; the run folder tells that there is a run under way.
    """
    folder = named_folder(overrides, "torchrun --max-restarts")
    if not distributed.restarted():
        return list(overrides), resume, overwrite
    kept = [o for o in overrides if o.partition("=")[0].partition(".")[0] in RESUMABLE]
    begun = Run(folder).config.is_file()
    return (kept, True, False) if begun else (list(overrides), False, True)


def _prepare(
    overrides: Sequence[str], given: Given, *, resume: bool, overwrite: bool
) -> tuple[Run, Config]:
    if resume:
        folder = named_folder(overrides, "--resume")
        for override in overrides:
            key = override.partition("=")[0]
            if key.partition(".")[0] not in RESUMABLE:
                raise ConfigError(
                    f"{key}: a resumed run keeps its options; only {', '.join(RESUMABLE)} may "
                    "change. To train with others, start a new run."
                )
        found = Run.open(folder)
        return found, read_config(found.config, overrides)
    config = compose(overrides)
    check(config)
    chosen: str = distributed.broadcast_object(config.run or str(next_folder(stem(config))))
    config.run, folder = chosen, Run(chosen)
    folder.refuse_if_taken(overwrite=overwrite)
    return folder, _described(given, config)


def _described(given: Given, config: Config) -> Config:
    """The configuration as the run keeps it: every default, and what objects and backbone say."""
    from lookalike.models.preprocessing import resolved  # it imports timm
    from lookalike.training.start import for_vectors, settled

    return with_defaults(settled(resolved(for_vectors(given.describe(config)))))


def stem(config: Config) -> str:
    """What a run is called that nobody names: data, loss, network."""
    words = (config.dataset["name"], config.loss["name"], config.model.backbone)
    return "-".join(str(word).rpartition(".")[2] for word in words)
