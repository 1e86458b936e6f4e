"""Drives a recipe's own trainer over a recorded training of an original, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import trajectory_law as law
from PIL import Image
from torch import nn
from torch.utils.data import Sampler

from lookalike.compose import compose
from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.runs import Run
from lookalike.training.checkpoints import Progress
from lookalike.training.checks import check
from lookalike.training.parting import read_trace
from lookalike.training.trainer import Training

FOLDER = Path(__file__).parents[1] / "golden" / "trajectories"
# The whole image, as it is.
PLAIN = ["scale=null", "resize=null", "flip=0", "jitter=null", "grey=0", "blur=0", "rotation=0"]


def record(name: str) -> dict[str, np.ndarray]:
    """The arrays of a recorded training."""
    return dict(np.load(FOLDER / f"{name}.npz"))


# ── what a recipe is given by import path ───────────────────────────────────────────────────────


def table(root: str) -> Table:
    """The rows of a folder that :func:`keep` has filled."""
    found = np.load(Path(root) / "labels.npy")
    frame = pd.DataFrame({f"level{i}": found[:, i].astype(str) for i in range(found.shape[1])})
    # Labels become codes in the order of their names: as numbers, of one length.
    frame = frame.map(lambda text: text.zfill(4))
    frame["path"] = [f"{row:05d}.png" for row in range(len(found))]
    levels = [f"level{i}" for i in range(found.shape[1])]
    return Table.from_frame(frame.assign(split="train"), levels=levels, name="recorded", root=root)


class Recorded(Sampler[list[int]]):
    """The batches that the original had."""

    def __init__(
        self, labels: Any, batch_size: int, file: str, per_epoch: int, negatives: int = 0
    ) -> None:
        self.batches = np.load(file).reshape(-1, per_epoch, batch_size)
        self.epoch, self.negatives = 0, negatives

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches.shape[1]

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.batches[self.epoch]:
            yield rows.tolist()


class Small(nn.Module):
    """The network of the RAML, Positive Proxy, Smooth-AP and PSS records: a ResNet's outline."""

    num_features = 32

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = _block(8, 16, 1)
        self.layer2 = _block(16, 24, 2)
        self.layer3 = _block(24, 32, 2)
        self.layer4 = _block(32, 32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def _block(channels: int, out: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())


# ── the run ─────────────────────────────────────────────────────────────────────────────────────


def keep(folder: Path, pictures: np.ndarray, labels: np.ndarray, batches: np.ndarray) -> list[str]:
    """Write a data set and its batches; the words that make a recipe read them."""
    folder.mkdir(parents=True)
    for row, picture in enumerate(pictures):
        Image.fromarray(picture.transpose(1, 2, 0)).save(folder / f"{row:05d}.png")
    np.save(folder / "labels.npy", labels)
    np.save(folder / "batches.npy", batches)
    return [
        "dataset=trajectories.table",
        f"dataset.root={folder}",
        "sampler=trajectories.Recorded",
        f"sampler.file={folder / 'batches.npy'}",
        f"batch_size={batches.shape[-1]}",
        f"transform.size={pictures.shape[-1]}",
        *(f"transform.train.{word}" for word in PLAIN),
    ]


@dataclass
class Following:
    """A training under way over a record."""

    training: Training
    folder: Path

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.training.model, "loss": self.training.loss}

    def state(self) -> dict[str, torch.Tensor]:
        """All weights and running statistics, by their names in the records of views."""
        found = {k: v for k, v in self.training.model.state_dict().items() if "tracked" not in k}
        for name, value in self.training.loss.state_dict().items():
            found[f"loss.{name.rpartition('.')[2]}"] = value  # a part of a composite by itself
        return found

    def load(self, weights: dict[str, np.ndarray]) -> None:
        """Put the first weights in; every one must have its place."""
        state = self.state()
        assert set(weights) == set(state), set(weights) ^ set(state)
        with torch.no_grad():
            for name, value in weights.items():
                assert state[name].shape == value.shape, name
                state[name].copy_(torch.from_numpy(value.astype(np.float64)))

    def teach(self, weights: dict[str, np.ndarray]) -> None:
        """Give the teacher its weights."""
        tutor = self.training.tutor
        assert tutor is not None
        given = {name: torch.from_numpy(value) for name, value in weights.items()}
        missing, foreign = tutor.model.load_state_dict(given, strict=False)
        assert not foreign and all("tracked" in name for name in missing), (missing, foreign)

    def go(self) -> dict[str, np.ndarray]:
        """Train to the end; losses of batches, and rates by group, of its trace."""
        training = self.training
        assert training.trace is not None
        loop = training.loop()
        loop.evaluate = lambda progress: None
        training.trace.begin(0)
        training.saver.step_done = training.saver.epoch_done = lambda progress: None
        loop.run(Progress())
        training.trace.close()
        _, rows = read_trace(training.trace.file)
        ordered = [rows[step] for step in sorted(rows)]
        rates = {
            name: np.array([r["rates"][name] for r in ordered]) for name in ordered[0]["rates"]
        }
        losses = np.array([loss for row in ordered for loss in row["losses"]])
        batches = [rows for row in ordered for rows in row["batches"]]
        return {"losses": losses, "batches": np.array(batches, dtype=object), **rates}


def start(
    folder: Path, words: list[str], change: Callable[[Any], None] = lambda config: None
) -> Following:
    """A recipe's trainer, in float64, ready to go."""
    given = [*words, "precision=fp64", "device=cpu", "workers=0", "watch.every=0"]
    given += ["model.pretrained=false", "checkpoint.every=1000", "evaluation.every=0"]
    given += ["evaluation.select=last"]
    config = compose([*given, f"run={folder / 'run'}"])
    change(config)
    check(config)
    run = Run(folder / "run")
    run.create(run.folder)
    console = Console(silent=True)
    return Following(Training(run, config, console, trace=folder / "trace.jsonl"), folder)


# ── comparing ───────────────────────────────────────────────────────────────────────────────────


def of_neutral(name: str) -> str:
    """A name of the records of ROADMAP, HAPPIER and SupRank as ours."""
    head, _, rest = name.partition(".")
    if head == "fc":
        return f"head.{rest}"
    if name == "proxies":
        return "loss.proxies"
    return name if name == "pool.p" else f"backbone.{name}"


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, relative to the largest number."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def law_weights(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first weights of a record that only says their names and shapes."""
    shapes = {
        str(name): tuple(int(n) for n in str(shape).split(",") if n)
        for name, shape in zip(found["names"], found["shapes"], strict=True)
    }
    proxies = shapes.pop("proxies", None)
    weights = law.first_weights(int(found["seed_weights"]), sorted(shapes.items()))
    if proxies is not None:
        weights |= law.first_weights(int(found["seed_proxies"]), [("proxies", proxies)])
    return {of_neutral(name): value for name, value in weights.items()}


# ── records of views: RAML, Positive Proxy, Smooth-AP, PSS ──────────────────────────────────────


def of_views(found: dict[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    """The weights of a record by name: ``init`` or ``final`` ones, or the teacher's."""
    return {k.removeprefix(f"{kind}."): v for k, v in found.items() if k.startswith(f"{kind}.")}


def labelled(
    folder: Path, seed: int, per: int, epochs: int, draw: Callable[[Any], np.ndarray], size: int
) -> list[str]:
    """A data set of the images of all batches, each batch with its own, and the batches."""
    pictures, labels = [], []
    for number in range(per * epochs):
        own = seed + 100 * (number // per) + number % per
        labels.append(draw(np.random.RandomState(own)))
        pictures.extend(law.view(own, labels[-1], size)[0])
    batches = np.arange(sum(map(len, labels))).reshape(len(labels), -1)
    words = keep(folder, np.stack(pictures), np.concatenate(labels)[:, None], batches)
    return [*words, f"sampler.per_epoch={per}", f"epochs={epochs}"]


class Given:
    """A loader of ready batches."""

    def __init__(self, epochs: list[list[dict[str, Any]]]) -> None:
        self.epochs, self.epoch, self.broken = epochs, 0, {}

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.epochs[self.epoch])


def moved_apart(
    state: dict[str, torch.Tensor], first: dict[str, np.ndarray], final: dict[str, np.ndarray]
) -> dict[str, float]:
    """For each group |ours − theirs| / |theirs − first|, over its weights."""
    apart: dict[str, float] = {}
    moved: dict[str, float] = {}
    for name, theirs in final.items():
        group = name.split(".")[0]
        apart[group] = apart.get(group, 0.0) + ((state[name].numpy() - theirs) ** 2).sum()
        moved[group] = moved.get(group, 0.0) + ((theirs - first[name]) ** 2).sum()
    return {group: float(np.sqrt(apart[group] / moved[group])) for group in apart if moved[group]}
