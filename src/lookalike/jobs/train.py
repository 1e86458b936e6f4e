"""``lookalike train``: data, model and loss in; a run folder out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lookalike import components, distributed
from lookalike.compose import compose, read_config
from lookalike.config import Config
from lookalike.errors import ConfigError, Interrupted, RunError, counted, lost_worker
from lookalike.jobs.parts.requeue import RESUMABLE, Resume, decide, named_folder, writing
from lookalike.runs import Run, next_folder


def run(
    overrides: Sequence[str],
    *,
    resume: Resume = False,
    overwrite: bool = False,
    quiet: bool = False,
    silent: bool = False,
    trace: str | Path | None = None,
    on_judged: Callable[[int, float], None] | None = None,
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
            `lookalike.train.trace.Trace`; `lookalike compare --trace` reads two of them. A resumed
            run goes on in it.
        on_judged: told after every evaluation: epochs done, and the value that chooses the model.
            What it raises ends the run.

    Raises:
        ConfigError: an option that cannot be.
        DataError: data that cannot be used.
        Busy: another process trains in this run folder.
        RunError: a run folder that is in the way, or cannot be resumed.
    """
    distributed.start()
    try:
        if resume == "auto":
            overrides, resume, done = decide(overrides)
            if done:
                return _say_done(overrides, silent=silent)
        elif distributed.restarts_allowed():
            overrides, resume, overwrite = _elastic(overrides, resume=resume, overwrite=overwrite)
        folder, config = _prepare(overrides, resume=resume, overwrite=overwrite)
        traced = _trace(trace, config, replace=resume or overwrite)
        # The network libraries take seconds to import: not before the options are known to be
        # right.
        from lookalike.jobs.parts.console import Console
        from lookalike.jobs.parts.training import Training

        console = Console(quiet=quiet, silent=silent or not distributed.is_main())
        with writing(folder.folder, "run"), _status(folder):
            training = Training(folder, config, console, trace=traced)
            training.on_judged = on_judged
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


def _say_done(overrides: Sequence[str], *, silent: bool) -> Path:
    from lookalike.jobs.parts.console import Console

    run = Run(named_folder(overrides, "--resume=auto"))
    Console(silent=silent or not distributed.is_main()).say(
        f"{run.folder} is finished; nothing is left to do. Its report: {run.report}"
    )
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


def _prepare(overrides: Sequence[str], *, resume: bool, overwrite: bool) -> tuple[Run, Config]:
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
    chosen: str = distributed.broadcast_object(config.run or str(next_folder(_stem(config))))
    config.run, folder = chosen, Run(chosen)
    folder.refuse_if_taken(overwrite=overwrite)
    return folder, config


def check(config: Config) -> None:
    """Refuse what can be refused before data is read or a network is built.

    Raises:
        ConfigError: names the option.
    """
    from lookalike.data import transforms
    from lookalike.jobs.parts import accelerating, building, lessons
    from lookalike.jobs.parts.figures import check_metrics
    from lookalike.jobs.parts.trackers import check_tracker
    from lookalike.train.averaging import check_average
    from lookalike.train.optimizers import check_optimizer

    check_optimizer(config.optimizer)
    check_average(config.average)
    accelerating.refuse_together(config)
    check_metrics(config.evaluation)
    check_tracker(config)
    if config.watch.every < 0:
        raise ConfigError(f"watch.every={config.watch.every}: steps between two looks; 0: never.")
    for name in ("train", "evaluation"):
        options = getattr(config.transform, name)
        components.check_arguments(getattr(transforms, name), options, f"transform.{name}")
    if config.distillation.rank:
        components.check("loss", config.distillation.rank, path="distillation.rank")
    lessons.check(config)
    building.pick_precision(config.precision, building.pick_device(config.device))
    building.broken_policy(config)
    if config.accumulate not in ("mean", "sum"):
        raise ConfigError(f"accumulate={config.accumulate}: write mean or sum.")
    _check_counts(config)
    if config.model.embedding_size is not None and config.model.embedding_size < 1:
        raise ConfigError(
            f"model.embedding_size={config.model.embedding_size}: a width of at least 1; write "
            "null for the pooled features themselves."
        )
    if config.batch_size % distributed.world_size():
        raise ConfigError(
            f"batch_size={config.batch_size} does not divide over"
            f" {counted(distributed.world_size(), 'process', 'processes')}."
        )


def _check_counts(config: Config) -> None:
    """Numbers that are at least 1, where they are given."""
    given = {name: getattr(config, name) for name in ("epochs", "batch_size", "update_every")}
    for name in ("every", "steps", "keep_every"):
        given[f"checkpoint.{name}"] = getattr(config.checkpoint, name)
    given["early_stop.patience"] = config.early_stop.patience
    if config.micro_batch != "auto":
        if isinstance(config.micro_batch, str):
            raise ConfigError(f"micro_batch={config.micro_batch}: write a number, auto or null.")
        given["micro_batch"] = config.micro_batch
    for name, value in given.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value}: must be at least 1.")


def _stem(config: Config) -> str:
    words = (config.dataset["name"], config.loss["name"], config.model.backbone)
    return "-".join(str(word).rpartition(".")[2] for word in words)
