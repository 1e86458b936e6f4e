"""Optuna, in one place: where a study is kept, who draws, who prunes, and which trial is whose."""

from __future__ import annotations

import fcntl
import inspect
import platform
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lookalike.errors import ConfigError, RunError, suggest
from lookalike.sweep.space import Scalar, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

JOURNAL = "study.journal"
LOCKS = ".locks"
_DATABASE_LOCK = zlib.crc32(b"lookalike sweep")
# They need arguments that a name alone does not give.
_UNFIT = {"BaseGA", "Base", "Grid", "PartialFixed", "Percentile", "Patient", "Threshold"}


class Claim:
    """A trial that this process works on; the lock tells the others so, and dies with it."""

    def __init__(self, trial: Trial, lock: IO[str]) -> None:
        self.trial, self._lock = trial, lock

    def release(self) -> None:
        """Let others take it up, if it is not done."""
        self._lock.close()


class Trials:
    """The trials of a study, as one worker sees them.

    Args:
        study: of Optuna.
        folder: of this worker's runs; several workers of a machine may share it.
        sampler: name of the sampler.
        seed: of the sampler; every trial is drawn anew from it and the trial's number, so that a
            sweep taken up again goes on as one that never stopped.
    """

    def __init__(self, study: Study, folder: Path, sampler: str, seed: int) -> None:
        self.study, self.folder, self.sampler, self.seed = study, folder, sampler, seed
        self.owner = f"{platform.node()}:{folder.resolve()}"

    def claim(self, total: int) -> Claim | None:
        """The next trial: one that a killed worker left, else a new one; None: enough are taken."""
        with _locked(self.folder / LOCKS / "claim"):
            for trial in self._left_behind():
                lock = _try_lock(self._lock_of(trial))
                if lock is not None:
                    return Claim(trial, lock)
            taken = [t for t in self.study.trials if t.state.name != "WAITING"]
            if len(taken) >= total:
                return None
            # Workers of other machines may draw at the same moment: not the same numbers.
            worker = zlib.crc32(self.owner.encode()) if not self._alone() else 0
            self.study.sampler = create_sampler(self.sampler, self.seed + len(taken) + worker)
            trial = self.study.ask()
            trial.set_user_attr("owner", self.owner)
            lock = _try_lock(self._lock_of(trial))
            if lock is None:
                raise RunError(f"{self._lock_of(trial)} is held by another process.")
            return Claim(trial, lock)

    def run_folder(self, number: int) -> Path:
        """Where a trial's run lies."""
        return self.folder / f"trial-{number:04d}"

    def _left_behind(self) -> list[Trial]:
        from optuna.trial import Trial

        return [
            Trial(self.study, trial._trial_id)
            for trial in self.study.trials
            if trial.state.name == "RUNNING" and trial.user_attrs.get("owner") == self.owner
        ]

    def _lock_of(self, trial: Trial) -> Path:
        return self.folder / LOCKS / f"trial-{trial.number:04d}"

    def _alone(self) -> bool:
        return (self.folder / JOURNAL).exists()


def open_study(
    folder: Path,
    *,
    name: str,
    storage: str | None,
    pruner: str,
    first: Mapping[str, Scalar] | None,
    facts: Mapping[str, Any],
) -> Study:
    """The study of a name, made if there is none.

    Args:
        folder: of the sweep; without ``storage`` the study is a journal file in it.
        name: the study's, by which workers find each other.
        storage: such as ``postgresql://user@host/database``, for many machines.
        pruner: name of the pruner.
        first: values of the first trial, or None to draw them.
        facts: what a sweep that goes on must share with the one that began it.

    Raises:
        ConfigError: no such pruner or kind of storage.
        RunError: a storage out of reach, or a study of another sweep.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with _locked(folder / LOCKS / "claim"), _locked_database(storage):
            study = optuna.create_study(
                study_name=name,
                storage=_storage(folder, storage),
                pruner=create_pruner(pruner),
                direction="maximize",
                load_if_exists=True,
            )
            _share(study, facts)
            if first is not None and not study.trials:
                study.enqueue_trial(dict(first))
    except (SQLAlchemyError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"--storage {storage}: out of reach ({reason}).") from error
    return study


def draw(trial: Trial, space: Space) -> dict[str, Scalar]:
    """The values of a trial; a trial taken up again has those it had."""
    return {key: _draw(trial, key, space) for key in space}


def create_sampler(name: str, seed: int) -> Any:
    """A sampler of Optuna by its name: tpe, random, gp, cmaes, qmc, nsgaii, …."""
    import optuna

    kind = _named(optuna.samplers, "Sampler", name, "--sampler")
    takes = inspect.signature(kind).parameters
    try:
        return kind(**{"seed": seed % 2**32} if "seed" in takes else {})
    except ImportError as error:
        raise ConfigError(f"--sampler {name}: {str(error).splitlines()[0]}") from error


def create_pruner(name: str) -> Any:
    """A pruner of Optuna by its name: median, hyperband, successivehalving, …; none."""
    import optuna

    return _named(optuna.pruners, "Pruner", "nop" if name == "none" else name, "--pruner")()


def importances(study: Study) -> dict[str, float]:
    """Share of the spread of the values that each option explains (fANOVA), largest first.

    Hutter et al., *An efficient approach for assessing hyperparameter importance*, ICML 2014.
    Empty while there is too little to tell: fewer than four finished trials, or all alike.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    done = [t for t in study.trials if t.state.name == "COMPLETE"]
    if len(done) < 4 or len({t.value for t in done}) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def _draw(trial: Trial, key: str, space: Space) -> Scalar:
    p = space[key]
    if p.choices:
        return trial.suggest_categorical(key, p.choices)
    low, high, step = p.low, p.high, p.step
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, step=int(step or 1), log=p.log)
    assert low is not None
    assert high is not None
    return trial.suggest_float(key, low, high, step=step, log=p.log)


def _named(room: Any, ending: str, name: str, option: str) -> Any:
    kinds = {n.removesuffix(ending): n for n in dir(room) if n.endswith(ending)}
    known = {short.lower(): full for short, full in kinds.items() if short not in _UNFIT}
    if name.lower() not in known:
        raise ConfigError(f"{option} {name}: {suggest(name, known)}")
    return getattr(room, known[name.lower()])


def _storage(folder: Path, storage: str | None) -> Any:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    if storage is None:
        return optuna.storages.JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return optuna.storages.RDBStorage(_address(storage))


def _address(storage: str) -> str:
    """As SQLAlchemy writes it, driver included."""
    scheme, separator, rest = storage.partition("://")
    if not separator:
        raise ConfigError(f"--storage {storage}: write an address: postgresql://user@host/name.")
    driver = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    return f"{driver.get(scheme, scheme)}://{rest}"


def _share(study: Study, facts: Mapping[str, Any]) -> None:
    known = study.user_attrs
    for name, value in facts.items():
        if name not in known:
            study.set_user_attr(name, value)
        elif known[name] != value:
            raise RunError(
                f"The study {study.study_name} was begun with other {name}: {known[name]}, not "
                f"{value}. Go on with those, or start another: --out FOLDER."
            )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _locked_database(storage: str | None) -> Iterator[None]:
    """One machine at a time, where the storage is PostgreSQL: tables are not made twice at once."""
    import sqlalchemy

    address = None if storage is None else _address(storage)
    if address is None or not address.startswith("postgresql"):
        yield
        return
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool)
    # The lock is the connection's and ends with it, also where the process is killed.
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({_DATABASE_LOCK})"))
        yield


def _try_lock(path: Path) -> IO[str] | None:
    """The lock of a file, or None where a living process holds it.

    A lock of the process, which the loader's workers, forked from it, do not inherit.
    """
    file = path.open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.close()
        return None
    return file
