"""A training with faults injected, which must end with the weights of one left alone.

    python tests/soak/soak.py                 an hour, twenty kills among other things
    python tests/soak/soak.py --minutes 5     the same in small
    python tests/soak/soak.py --write         also writes result.md beside this file

Two runs of the toy pictures with proxies, averaged weights and two loader workers. One is left
alone. The other is killed (SIGKILL), asked to stop (SIGTERM), loses a loader worker, a picture, its
disk (no file may grow any more: RLIMIT_FSIZE stands in for a full one) and its tracker, at moments
drawn from a seed, and is resumed each time. At the end every bit is compared but clock readings.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

HERE = Path(__file__).parent
CLOCKS = ("seconds_per_step", "clock")
PER_HOUR = {"kill": 20, "sigterm": 10, "worker": 4, "picture": 4, "disk": 4, "tracker": 4}
_DOWN = "tracker tensorboard is down"
RESTART = 15.0  # seconds that a life needs before its first step, about
OPTIONS = [
    "dataset=toy",
    "dataset.families=2",
    "dataset.genera=2",
    "dataset.species=6",
    "dataset.pictures=6",
    "dataset.size=32",
    "transform=figure",
    "transform.size=32",
    "model=conv4",
    "model.options.width=16",
    "model.embedding_size=16",
    "batch_size=16",
    "sampler.m=2",
    "sampler.batches=40",
    "loss=proxy_anchor",
    "average.name=ema",
    "evaluation.every=3",
    "checkpoint.steps=25",
    "watch.every=20",
    "workers=2",
    "device=cpu",
]


@dataclass
class Soak:
    """What happened to the broken run."""

    folder: Path
    pictures: Path
    rng: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    exits: Counter[str] = field(default_factory=Counter)
    lives: int = 0

    def live(self, words: list[str], fault: str | None, seconds: float) -> bool:
        """One life of the run, ended by a fault or by itself; whether it is finished."""
        self.lives += 1
        if fault == "tracker":
            self._break_tracker()
        log = self.folder.parent / f"life-{self.lives:03d}.log"
        with log.open("w") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "lookalike", "train", *words],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        if fault is not None and self._wait(child, log, self.rng.uniform(0, seconds)):
            self.faults[fault] += 1
            self._inflict(child, fault, log)
        code = child.wait()
        self._mend(log, fault)
        done = code == 0 and json.loads((self.folder / "manifest.json").read_text())
        self.exits[f"{fault or 'none'}: exit {code}"] += 1
        print(f"life {self.lives:3d}  {fault or 'no fault':9s} exit {code}", flush=True)
        # Once the last epoch is saved, SIGTERM ends the drawing of the report at once.
        if code not in (0, 1, 130, -signal.SIGKILL, -signal.SIGTERM):
            raise SystemExit(f"exit {code}:\n{log.read_text()[-2000:]}")
        return bool(done) and done["status"] == "finished"

    def _wait(self, child: subprocess.Popen, log: Path, seconds: float) -> bool:
        """Until the training has begun and so long after; False: it ended before."""
        while "training " not in log.read_text():
            if child.poll() is not None:
                return False
            time.sleep(0.1)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _inflict(self, child: subprocess.Popen, fault: str, log: Path) -> None:
        if fault == "kill":
            child.kill()
        elif fault == "sigterm":
            child.terminate()
        elif fault == "worker":
            if workers := _children(child.pid):
                os.kill(self.rng.choice(workers), signal.SIGKILL)
            else:
                child.kill()
        elif fault == "picture":
            picture = self.rng.choice(sorted(self.pictures.rglob("*.png")))
            picture.rename(picture.with_suffix(".gone"))
        elif fault == "disk":
            hard = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (1, hard))
        elif fault == "tracker":  # it was down from the beginning, and the training went on
            while _DOWN not in log.read_text() and child.poll() is None:
                time.sleep(0.1)
            child.terminate()

    def _break_tracker(self) -> None:
        board = self.folder / "tensorboard"
        if board.is_dir():
            board.rename(self.folder.parent / "tensorboard")
            board.write_text("no folder")

    def _mend(self, log: Path, fault: str | None) -> None:
        """Put back what was taken away; the run must have said what it missed."""
        for gone in self.pictures.rglob("*.gone"):
            gone.rename(gone.with_suffix(".png"))
        kept = self.folder.parent / "tensorboard"
        if kept.is_dir():
            if _DOWN not in log.read_text():
                raise SystemExit(f"{log}: the broken tracker was not named")
            (self.folder / "tensorboard").unlink()
            kept.rename(self.folder / "tensorboard")


def _children(pid: int) -> list[int]:
    """Processes whose parent is ``pid``."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def plan(minutes: float, rng: random.Random) -> list[str]:
    """The faults of so many minutes, at least one of each kind, shuffled."""
    share = minutes / 60
    faults = [name for name, n in PER_HOUR.items() for _ in range(max(1, round(n * share)))]
    rng.shuffle(faults)
    return faults


def train(words: list[str], log: Path) -> float:
    """An unbroken training; its seconds."""
    began = time.monotonic()
    with log.open("w") as out:
        subprocess.run(
            [sys.executable, "-m", "lookalike", "train", *words],
            stdout=out,
            stderr=subprocess.STDOUT,
            check=True,
        )
    return time.monotonic() - began


def _epoch_seconds(run: Path) -> float:
    """Of an epoch of 40 steps, with half as much again for evaluations and checkpoints."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return 1.5 * 40 * median(r["seconds_per_step"] for r in rows if r["kind"] == "train")


def differences(one: Path, other: Path) -> list[str]:
    """What of two finished runs is not the same to the bit, clock readings left out."""
    found = []
    states = [
        torch.load(run / "checkpoints" / "last.pt", weights_only=True) for run in (one, other)
    ]
    for key in ("progress", "random", "parts"):
        found += _differ(states[0][key], states[1][key], key)
    for name in ("model/model.safetensors", "evaluation/test/embeddings.npy"):
        if (one / name).read_bytes() != (other / name).read_bytes():
            found.append(name)
    rows = [
        [
            {key: value for key, value in json.loads(line).items() if key not in CLOCKS}
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (one, other)
    ]
    if rows[0] != rows[1]:
        found.append("metrics.jsonl")
    return found


def _differ(a: object, b: object, where: str) -> list[str]:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return [where]
        return [found for key in a for found in _differ(a[key], b[key], f"{where}.{key}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return [where]
        pairs = enumerate(zip(a, b, strict=True))
        return [found for i, (x, y) in pairs for found in _differ(x, y, f"{where}.{i}")]
    return [] if a == b else [where]


def soak(minutes: float, seed: int, root: Path) -> str:
    """Run it in a folder; the result as Markdown.

    Raises:
        SystemExit: the broken run ended otherwise than the unbroken one.
    """
    rng = random.Random(seed)
    faults = plan(minutes, rng)
    data = root / "pictures"
    base = [*OPTIONS, f"dataset.root={data}"]
    train([*base, f"run={root / 'short'}", "epochs=9"], root / "short.log")
    epoch = _epoch_seconds(root / "short")
    living = max(10.0, minutes * 60 / len(faults) - RESTART)
    epochs = max(9, round(living * (len(faults) + 1) / epoch))
    print(f"{len(faults)} faults, {epochs} epochs of about {epoch:.1f} s", flush=True)
    alone = train([*base, f"run={root / 'unbroken'}", f"epochs={epochs}"], root / "unbroken.log")

    broken = root / "broken" / "run"
    broken.parent.mkdir()
    it = Soak(broken, data, rng)
    words, began = [*base, f"run={broken}", f"epochs={epochs}"], time.monotonic()
    finished = False
    while not finished:
        fault = faults.pop() if faults else None
        finished = it.live(words, fault, 2 * living)
        if (broken / "checkpoints" / "last.pt").is_file():
            words = [f"run={broken}", "--resume"]
        elif broken.is_dir():
            words = [*base, f"run={broken}", f"epochs={epochs}", "--overwrite"]
    took = time.monotonic() - began
    wrong = differences(root / "unbroken", broken)
    if wrong:
        raise SystemExit(f"{len(wrong)} things differ: {', '.join(wrong[:20])}")
    steps = json.loads((broken / "manifest.json").read_text())["steps"]
    return _words(it, minutes, seed, steps, alone, took, unspent=len(faults))


def _words(
    it: Soak, minutes: float, seed: int, steps: int, alone: float, took: float, unspent: int
) -> str:
    rows = [f"| {name} | {count} |" for name, count in sorted(it.faults.items())]
    exits = [f"| {name} | {count} |" for name, count in sorted(it.exits.items())]
    lines = [
        "# Soak",
        "",
        f"`python tests/soak/soak.py --minutes {minutes:g} --seed {seed} --write`, "
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}.",
        "",
        f"{steps:,} steps. Unbroken: {alone / 60:.1f} minutes. Broken: {took / 60:.1f} minutes in "
        f"{it.lives} lives; {unspent} of the planned faults were left when it ended.",
        "",
        "**Equal to the bit**: weights, proxies, averaged weights, optimiser moments, random "
        "states, progress, saved model, test embeddings, and the metrics file without its clocks.",
        "",
        "| fault | times |",
        "|---|--:|",
        *rows,
        "",
        "| how lives ended | times |",
        "|---|--:|",
        *exits,
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="of the broken run, about")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and their moments")
    parser.add_argument("--write", action="store_true", help="write result.md")
    parser.add_argument("--keep", action="store_true", help="keep the runs")
    chosen = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"in {root}", flush=True)
    text = soak(chosen.minutes, chosen.seed, root)
    print(text)
    if chosen.write:
        (HERE / "result.md").write_text(text)
    if not chosen.keep:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
