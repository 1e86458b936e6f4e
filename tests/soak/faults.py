"""The faults of the soak: how each is inflicted on a run, and how it must show."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from lookalike.cli import main
from lookalike.training.checkpoints import latest_checkpoint

PER_HOUR = {"kill": 24, "sigterm": 10, "worker": 4, "picture": 4, "disk": 4, "tracker": 4}
DOWN = "tracker tensorboard is down"
PATIENCE = 300.0  # seconds after which a fault that has not shown is a failure

# One process imports the network libraries, and each life is a fork of it: seconds less to wait.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(["lookalike.training.trainer", "torch.utils.tensorboard"])


@dataclass(frozen=True)
class Fault:
    """What happens, and when.

    Attributes:
        kind: a key of ``PER_HOUR``.
        moment: share of all steps that must be done before; 1.0: while the report is made.
        starting: while the life starts, whatever has been done.
    """

    kind: str
    moment: float
    starting: bool = False

    def __str__(self) -> str:
        when = "starting" if self.starting else f"{self.moment:6.1%}"
        return f"{self.kind:8s} {when:8s}"


def plan(minutes: float, rng: random.Random) -> list[Fault]:
    """The faults of so many minutes, at least one of each kind, spread over all steps.

    Every fourth kill comes while a life starts, and one more kill ends the list in the report.
    """
    counts = {kind: max(1, round(n * minutes / 60)) for kind, n in PER_HOUR.items()}
    kinds = [kind for kind, n in counts.items() for _ in range(n)]
    rng.shuffle(kinds)
    faults, kills = [], 0
    for number, kind in enumerate(kinds):
        kills += kind == "kill"
        moment = 0.9 * (number + rng.random()) / len(kinds)
        faults.append(Fault(kind, moment, starting=kind == "kill" and kills % 4 == 0))
    return [*faults, Fault("kill", 1.0)]


class Life:
    """One process of a run, from its start to its end.

    Args:
        words: what ``lookalike train`` is told.
    """

    def __init__(self, words: list[str]) -> None:
        # A pipe: what a process says must be heard also where no file may grow.
        self._heard, said = _PROCESSES.Pipe(duplex=False)
        self.process = _PROCESSES.Process(target=_live, args=(words, said))
        self.process.start()
        said.close()
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.process.pid is not None
        return self.process.pid

    def _read(self) -> None:
        with open(self._heard.fileno(), closefd=False, errors="replace") as words:
            self.lines.extend(iter(words.readline, ""))

    @property
    def said(self) -> str:
        """All its words so far."""
        return "".join(self.lines)

    def wait_for(self, true: Callable[[], object], what: str, seconds: float = 1e9) -> None:
        """Until something is true of a living process."""
        until = time.monotonic() + seconds
        while not true():
            if not self.process.is_alive():
                self.fail(f"it ended (exit {self.process.exitcode}) before {what}")
            if time.monotonic() > until:
                self.fail(f"{what} did not come")
            time.sleep(0.05)

    def end(self) -> int:
        """Its exit code, once it has ended and none of its workers is left."""
        self.process.join(PATIENCE)
        if self.process.exitcode is None:
            self.fail("it lives on")
        # The pipe ends when the last process that holds it does: this finds orphans too.
        self._reader.join(60)
        if self._reader.is_alive():
            self.fail("a process of it is left")
        return self.process.exitcode

    def finish(self) -> None:
        """Let it train to its end."""
        self.process.join()
        self.expect(0)

    def expect(self, code: int, *words: str) -> None:
        """Fail unless it ended with this exit code and said these words."""
        found = self.end()
        missing = [word for word in words if word not in self.said]
        if found != code or missing:
            self.fail(f"exit {found}, not {code}; not said: {missing}")

    def fail(self, why: str) -> NoReturn:
        """End the soak."""
        self.process.kill()
        raise SystemExit(f"{why}:\n{self.said[-3000:]}")

    def workers(self) -> list[int]:
        """The processes that read its images: its children with its own command line."""
        own = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rpartition(")")[2].split()[1])
                same = (stat.parent / "cmdline").read_bytes() == own
            except OSError:  # it ended meanwhile
                continue
            if parent == self.pid and same:
                found.append(int(stat.parent.name))
        return found


def _live(words: list[str], said: Connection) -> None:
    """What ``python -m lookalike train`` does, heard over a pipe."""
    for stream in (1, 2):
        os.dup2(said.fileno(), stream)
    said.close()
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    set_start_method("fork", force=True)  # as anywhere else: this process inherited another
    # A full disk is not a full memory: workers hand their images over in shared memory.
    os.register_at_fork(after_in_child=_lift_limit)
    sys.argv = ["lookalike", "train", *words]
    main()


def _lift_limit() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def inflict(
    fault: Fault, life: Life, run: Path, pictures: Path, step: int, rng: random.Random
) -> str:
    """Inflict a fault on a life when its moment comes; how the life ended, in words.

    Raises:
        SystemExit: it did not show as it should.
    """
    if fault.starting:
        time.sleep(rng.uniform(0, 4))
        life.process.kill()
        life.expect(-signal.SIGKILL)
        return "killed while starting"
    board, aside = run / "tensorboard", run.with_name("tensorboard")
    if fault.kind == "tracker" and board.is_dir():  # the life is still importing
        board.rename(aside)
        board.write_text("no folder")
    life.wait_for(lambda: "\ntraining " in life.said, "its first words")
    first = max(_steps(run), 0)
    target = step if fault.moment == 1.0 else max(step, first + 10)
    life.wait_for(lambda: _steps(run) >= target, f"step {target}")
    time.sleep(rng.uniform(0, 0.5 if fault.moment == 1.0 else 3.0))
    ended = _INFLICT[fault.kind](life, run, pictures, rng)
    if fault.kind == "tracker" and aside.is_dir():
        board.unlink()
        aside.rename(board)
    return ended


def _steps(run: Path) -> int:
    """The last step in the metrics file."""
    metrics = run / "metrics.jsonl"
    if not metrics.is_file():
        return 0
    with metrics.open("rb") as file:
        file.seek(max(0, metrics.stat().st_size - 8192))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        if line.startswith(b"{") and line.endswith(b"}"):
            return json.loads(line)["step"]
    return 0


def _kill(life: Life, run: Path, pictures: Path, rng: random.Random) -> str:
    life.process.kill()
    life.expect(-signal.SIGKILL)
    return "killed"


def _sigterm(life: Life, run: Path, pictures: Path, rng: random.Random) -> str:
    whole_job = rng.random() < 0.5  # as a terminal, timeout and schedulers do
    for pid in [life.pid, *(life.workers() if whole_job else [])]:
        os.kill(pid, signal.SIGTERM)
    life.expect(130, "everything is saved")
    return f"exit 130, everything saved{'; its workers had the signal too' if whole_job else ''}"


def _worker(life: Life, run: Path, pictures: Path, rng: random.Random) -> str:
    life.wait_for(life.workers, "a worker")
    os.kill(rng.choice(life.workers()), signal.SIGKILL)
    life.expect(1, "error: ", "DataLoader worker", "workers=0", "--resume")
    return "exit 1, naming the worker and what to try"


def _picture(life: Life, run: Path, pictures: Path, rng: random.Random) -> str:
    picture = rng.choice(sorted(pictures.rglob("*.png")))
    gone = picture.with_suffix(".gone")
    picture.rename(gone)
    life.expect(1, "error: ", f"{picture.parent.name}/{picture.name}")
    gone.rename(picture)
    return "exit 1, naming the file"


def _disk(life: Life, run: Path, pictures: Path, rng: random.Random) -> str:
    last = run / "checkpoints" / "last.pt"
    limit = rng.choice([1, last.stat().st_size // 2])
    hard = resource.prlimit(life.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(life.pid, resource.RLIMIT_FSIZE, (limit, hard))
    life.expect(1, "error: Cannot write", str(run), "ree some space")
    _, _, damaged = latest_checkpoint(last.parent)
    if damaged is not None:
        life.fail(damaged)
    return "exit 1, naming the file and the remedy"


def _tracker(life: Life, run: Path, pictures: Path, rng: random.Random) -> str:
    life.wait_for(lambda: DOWN in life.said, DOWN, PATIENCE)
    life.process.terminate()
    life.expect(130, DOWN, "everything is saved")
    return "dropped with a warning; exit 130 on request"


_INFLICT = {
    "kill": _kill,
    "sigterm": _sigterm,
    "worker": _worker,
    "picture": _picture,
    "disk": _disk,
    "tracker": _tracker,
}
