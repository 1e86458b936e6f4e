"""What the engine costs beside what it drives: forward, loss, backward and optimiser.

python benchmarks/engine.py            prints the figures, three minutes of one core
python benchmarks/engine.py --write    also writes results/engine.md

A bare loop does what every training does on batches held in memory. The engine's own time is what
is left of a run's loop where forward, loss, backward and optimiser do nothing (rates, checks, logs,
TensorBoard, signals), and a fiftieth of a look at the run's health, which is taken every 50 steps.
CPU time is counted, so that a busy machine matters little; figures are medians. Last, what
`micro_batch=auto` chooses is held against the real peak of memory.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.losses.calling import call
from lookalike.models.embedder import create_model
from lookalike.runs import Run
from lookalike.training.checkpoints import Progress
from lookalike.training.micro_batch import find_micro_batch
from lookalike.training.trainer import Training

RESULTS = Path(__file__).parent / "results"
LOSSES = {
    "smooth_ap": ["loss=smooth_ap"],
    "proxy_anchor": ["loss=proxy_anchor"],
}
LIMIT = 0.03
EVERY = 50  # steps between two looks
MEMORY = [  # network, side of the pictures, MiB that are said to be free
    ("conv4", 64, 400),
    ("test_resnet", 96, 400),
    ("resnet18", 64, 400),
    ("resnet18", 64, 1000),
    ("mobilenetv3_small_100", 96, 400),
    ("vit_tiny_patch16_224", 224, 400),
]


def training(options: list[str], folder: Path) -> Training:
    run = Run(folder)
    run.checkpoints.mkdir(parents=True)
    made = Training(run, compose([*options, f"run={folder}"]), Console(silent=True))
    made.model.train()
    return made


def bare(made: Training, batches: list[dict], steps: int) -> None:
    """What every training does, and nothing else."""
    optimizers = made.optimizers.members.values()
    for number in range(steps):
        batch = batches[number % len(batches)]
        call(made.loss, made.model(batch["pictures"]), batch["labels"]).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def empty(made: Training, batches: list[dict], steps: int) -> None:
    """The loop of a run in which a step computes nothing, an epoch of so many steps."""
    loop = made.loop()
    loop.batches = lambda epoch, skip: (batches[n % len(batches)] for n in range(steps))
    loop.evaluate = lambda progress: None
    loop.epochs = 1
    made._let_move(0)
    made.watch.every = 0
    made.step.descend = lambda pictures, loss_of: 1.0
    loop.run(Progress())


def seconds(function: Callable[..., object], *words: object) -> float:
    start = time.process_time()
    function(*words)
    return time.process_time() - start


def measure(name: str, steps: int, rounds: int) -> dict[str, float]:
    """Milliseconds of a bare step, of the engine's part, and of a look; and the share of both."""
    options = ["recipe=demo", "workers=0", *LOSSES[name]]
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        made = training(options, Path(folder) / "run")
        made.loader.set_epoch(0)
        batches = [batch for batch, _ in zip(made.loader, range(8), strict=False)]
        made.epoch_done = lambda progress: None  # a checkpoint is no part of a step
        made.watch.backward(batches[0])
        looks = [seconds(made.watch._measure, 1) for _ in range(rounds)]
        bare(made, batches, 3)
        steps_bare = [seconds(bare, made, batches, steps) / steps for _ in range(rounds)]
        made.optimizers.zero_grad()
        many = 20 * steps
        steps_empty = [seconds(empty, made, batches, many) / many for _ in range(rounds)]
        made.journal.close()
    found = [statistics.median(times) * 1e3 for times in (steps_bare, steps_empty, looks)]
    whole, own, look = found
    own_share = (own + look / EVERY) / whole
    return {"bare": whole, "own": own, "look": look, "share": own_share}


def two_passes(pictures: int, part: int, rounds: int) -> dict[str, float]:
    """A picture of a batch that passes in parts, beside one of a batch of that part's size."""
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        made = training(["recipe=demo", "workers=0", "loss=smooth_ap"], Path(folder) / "run")
        side = made.config.transform.size
        whole = {
            "pictures": torch.randint(0, 256, (pictures, 3, side, side), dtype=torch.uint8),
            "labels": torch.arange(pictures) // 4,
            "index": torch.arange(pictures),
        }
        small = {key: value[:part] for key, value in whole.items()}
        found: dict[str, list[float]] = {"one": [], "two": []}
        for number in range(rounds + 1):  # the first round warms up
            for name, batch in (("one", small), ("two", whole)):
                made.step.micro_batch = part if name == "two" else None
                repeats = pictures // len(batch["labels"])

                def steps(batch: dict = batch, repeats: int = repeats) -> None:
                    for _ in range(repeats):
                        made.step.backward(batch)
                        made.step.update(0, 0)

                spent = seconds(steps) / pictures
                if number:
                    found[name].append(spent)
    one, two = (statistics.median(found[name]) for name in ("one", "two"))
    return {"one_ms": one * 1e3, "two_ms": two * 1e3, "ratio": two / one}


def micro_batches() -> list[str]:
    """Rows of a table: what ``micro_batch=auto`` chose, and the real peak, each in a process."""
    rows = []
    for name, side, free in MEMORY:
        program = [sys.executable, __file__, "--peak", name, str(side), str(free)]
        done = subprocess.run(program, capture_output=True, text=True, check=True)
        chosen, peak = map(int, done.stdout.split())
        rows.append(f"| {name} | {side} | {free} | {chosen} | {peak} | {peak / free:.2f} |")
        print(rows[-1], flush=True)
    return rows


def peak(name: str, side: int, free: int) -> tuple[int, int]:
    """Pictures that fit into so many MiB, and by how many the process then grows at most."""
    model = create_model(name, pretrained=False, embedding_size=32, size=side).train()

    def embed(pictures: torch.Tensor) -> torch.Tensor:
        return model(pictures).float()

    def step(count: int) -> None:
        embeddings = embed(torch.zeros(count, 3, side, side, dtype=torch.uint8))
        embeddings.backward(torch.ones_like(embeddings))

    step(2)
    model.zero_grad()
    picture = torch.zeros(3, side, side, dtype=torch.uint8)
    chosen = find_micro_batch(embed, model, picture, free * 2**20)
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step(chosen)
    return chosen, (_status("VmHWM") - before) // 1024


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise SystemExit(f"no {name} in /proc/self/status: this needs Linux")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--peak", nargs=3, metavar=("NETWORK", "SIDE", "MIB"), help="a row alone")
    arguments = parser.parse_args()
    if arguments.peak:
        name, side, free = arguments.peak
        print(*peak(name, int(side), int(free)))
        return
    lines = [
        "| loss | bare step, ms | the engine's part of a step, ms | a look, ms | share |",
        "|---|---|---|---|---|",
    ]
    for name in LOSSES:
        found = measure(name, arguments.steps, arguments.rounds)
        lines.append(
            f"| {name} | {found['bare']:.1f} | {found['own']:.3f} | {found['look']:.1f} | "
            f"{found['share']:.2%} |"
        )
        print(lines[-1], flush=True)
    pictures, part = 512, 64
    found = two_passes(pictures, part, arguments.rounds)
    sentence = (
        f"A picture of a batch of {pictures} that passes {part} at a time (two passes) takes "
        f"{found['two_ms']:.2f} ms, one of a batch of {part} (one pass) {found['one_ms']:.2f} ms: "
        f"{found['ratio']:.2f} ×. The way forward counts a third of a step, so 1.33 is the floor "
        "and 1.45 the limit."
    )
    print(sentence)
    found_memory = micro_batches()
    if arguments.write:
        text = "\n".join(
            [
                "# What the engine costs beside what it drives",
                "",
                f"`python benchmarks/engine.py --steps {arguments.steps} --rounds "
                f"{arguments.rounds} --write`, torch {torch.__version__}, one CPU core, "
                "the demo's network, 64 pictures a batch. CPU time, median of "
                f"{arguments.rounds} rounds of {arguments.steps} steps; share: the engine's part "
                f"and a {EVERY}th of a look over the bare step. The limit is {LIMIT:.0%}.",
                "",
                *lines,
                "",
                "# Two passes beside one",
                "",
                sentence,
                "",
                "# micro_batch=auto and the real peak",
                "",
                "Where so many MiB were said to be free: the pictures chosen, and by how much the "
                "process (its resident set) then grew at most on the way forward and back. The "
                "rest is for an optimiser's moments, the loss and the scratch of other networks.",
                "",
                "| network | side | free, MiB | pictures | peak, MiB | of what was free |",
                "|---|--:|--:|--:|--:|--:|",
                *found_memory,
                "",
            ]
        )
        (RESULTS / "engine.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
