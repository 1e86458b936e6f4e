"""A training with faults injected, which must end with the weights of one left alone.

    python tests/soak/soak.py                 an hour, two dozen kills among other things
    python tests/soak/soak.py --minutes 5     the same in small
    python tests/soak/soak.py --write         also writes result.md beside this file

Two runs of the toy images with proxies, averaged weights and two loader workers, side by side.
One is left alone. The other is killed (SIGKILL, also while it starts and while it draws its
report), asked to stop (SIGTERM, also with all its workers), loses a loader worker, an image, its
disk (RLIMIT_FSIZE: no file grows, or none beyond half a checkpoint) and its tracker, spread over
all of its steps at moments drawn from a seed, and is resumed each time.
Each fault must show as it should: the exit code, the words, a whole checkpoint, no process left.
At the end every bit is compared but clock readings.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

import torch
from faults import Fault, Life, inflict, plan

HERE = Path(__file__).parent
CLOCKS = ("seconds_per_step", "clock")
EPOCH = 40  # steps
RESTART = 20.0  # seconds that a life needs before its first step on a busy machine, about
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
    f"sampler.batches={EPOCH}",
    "loss=proxy_anchor",
    "average.name=ema",
    "evaluation.every=3",
    "checkpoint.steps=25",
    "watch.every=20",
    "workers=2",
    "device=cpu",
]


def soak(minutes: float, seed: int, root: Path) -> str:
    """Run it in a folder; the result as Markdown.

    Raises:
        SystemExit: a fault did not show as it should, or the broken run ended otherwise than the
            unbroken one.
    """
    rng = random.Random(seed)
    pictures, alone = root / "pictures", root / "pictures-alone"
    Life([*OPTIONS, f"dataset.root={pictures}", f"run={root / 'short'}", "epochs=9"]).finish()
    shutil.copytree(pictures, alone)
    faults = plan(minutes, rng)
    training = max(0.3 * minutes, minutes - len(faults) * RESTART / 60)
    epochs = max(len(faults), round(training * 60 / (EPOCH * _seconds_a_step(root / "short"))))
    print(f"{len(faults)} faults, {epochs} epochs", flush=True)

    calm, began = root / "unbroken", time.monotonic()
    unbroken = Life([*OPTIONS, f"dataset.root={alone}", f"run={calm}", f"epochs={epochs}"])
    broken, exits = root / "broken", Counter[str]()
    words = [*OPTIONS, f"dataset.root={pictures}", f"run={broken}", f"epochs={epochs}"]
    for number, fault in enumerate([*faults, None], start=1):
        again = words if not broken.is_dir() else [f"run={broken}", "--resume"]
        if broken.is_dir() and not any((broken / "checkpoints").glob("*.pt")):
            again = [*words, "--overwrite"]
        life = Life(again)
        if fault is None:
            life.finish()
            ended = "finished"
        else:
            step = round(EPOCH * epochs * fault.moment)
            ended = inflict(fault, life, broken, pictures, step, rng)
        exits[f"{fault.kind if fault else 'none'}: {ended}"] += 1
        _tell(number, fault, ended, broken)
    took = time.monotonic() - began
    unbroken.finish()
    if wrong := differences(calm, broken):
        raise SystemExit(f"{len(wrong)} things differ: {', '.join(wrong[:20])}")
    steps = json.loads((broken / "manifest.json").read_text())["steps"]
    return _words(exits, minutes, seed, steps, took)


def _seconds_a_step(run: Path) -> float:
    """Of a run by itself, with two thirds as much again: evaluations, checkpoints, a run beside."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return 1.67 * median(r["seconds_per_step"] for r in rows if r["kind"] == "train")


def _tell(number: int, fault: Fault | None, ended: str, run: Path) -> None:
    manifest = run / "manifest.json"
    status = json.loads(manifest.read_text())["status"] if manifest.is_file() else "not begun"
    clock = time.strftime("%H:%M:%S")
    print(f"{clock}  life {number:3d}  {fault or 'no fault'}  {ended}  ({status})", flush=True)


def differences(one: Path, other: Path) -> list[str]:
    """What of two finished runs is not the same to the bit, clock readings left out."""
    found = []
    states = [
        torch.load(run / "checkpoints" / "last.pt", weights_only=True) for run in (one, other)
    ]
    for key in ("progress", "random", "parts"):
        found += _differ(states[0][key], states[1][key], key)
    for name in (
        "model/model.safetensors",
        "evaluation/test/embeddings.npy",
        "evaluation/test/report.json",
    ):
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


def _words(exits: Counter[str], minutes: float, seed: int, steps: int, took: float) -> str:
    rows = [f"| {name.replace(': ', ' | ')} | {count} |" for name, count in sorted(exits.items())]
    lines = [
        "# Soak",
        "",
        f"`python tests/soak/soak.py --minutes {minutes:g} --seed {seed} --write`, "
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores shared with other work, torch {torch.__version__}.",
        "",
        f"{steps:,} steps. The broken run took {took / 60:.0f} minutes in {sum(exits.values())} "
        "lives, beside the unbroken one.",
        "",
        "**Equal to the bit**: weights, proxies, averaged weights, optimiser moments, random "
        "states, progress, saved model, test embeddings, the report's figures, and the metrics "
        "file without its clocks.",
        "",
        "After every life no process of it was left; after every full disk the last checkpoint was "
        "whole.",
        "",
        "| fault | how the life ended | times |",
        "|---|---|--:|",
        *rows,
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
    os.environ["OMP_NUM_THREADS"] = "1"
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
