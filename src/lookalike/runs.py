"""The run folder: it explains itself, and can be resumed.

config.yaml       the resolved configuration
manifest.json     command, versions, code, data fingerprint, environment, status
data.parquet      path, split and label of every row, as the run divided them
start/            the model as training found it, only where that was pretrained
table.parquet     only where the table was handed over as an object
metrics.jsonl     a line an event, in order
checkpoints/      last.pt and, should it be damaged, previous.pt: everything needed to go on;
                  best.pt and epoch_N.pt where they are asked for
model/            the model kept: model.safetensors and model.json
evaluation/       a folder a split: report.json, embeddings.npy, rows.parquet
tensorboard/      the same numbers as curves
report.html       the page to look at
broken_batch/     only after a loss that was no number: the batch it came from
features/         only before the end of a run with a frozen backbone: what that made of images
unfinished/       only after an evaluation that was killed: what it had done
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from msgspec import UNSET, UnsetType, field

from lookalike import __version__, documents
from lookalike.errors import DiskError, RunError
from lookalike.files import empty, is_free, refuse_links, write_text

# What a run or model folder is made of; other things in it are the person's.
_OWN = (
    "config.yaml", "manifest.json", "metrics.jsonl", "checkpoints", "model", "evaluation",
    "tensorboard", "report.html", "broken_batch", "unfinished", "teacher", "exported", "start",
    "features", "data.parquet", "table.parquet",
)  # fmt: skip
_VERSIONS = ("torch", "torchvision", "timm", "numpy", "pillow", "simplejpeg", "faiss-cpu")


class DataPart(documents.Document):
    """What a run was trained on."""

    name: str
    fingerprint: str
    pictures: documents.Count
    notes: list[str] = field(default_factory=list)


class MachinePart(documents.Document):
    """Where a run was trained."""

    system: str = ""
    cores: int | None = None


class RunFile(documents.Document):
    """``manifest.json`` of a run."""

    status: str
    command: str = ""
    started: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: MachinePart = field(default_factory=MachinePart)
    code: str | None = None
    data: DataPart | UnsetType = UNSET
    parameters: documents.Count = 0
    epochs: documents.Count = 0
    steps: documents.Count = 0
    seconds: float = 0.0
    best: dict[str, int | float | None] | UnsetType = UNSET
    reason: str = ""


class MetricsRow(documents.Document):
    """A line of ``metrics.jsonl``."""

    step: documents.Count
    kind: str


class Run:
    """One run folder.

    Args:
        folder: where it is; see :meth:`create` and :meth:`open`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def config(self) -> Path:
        """``config.yaml``."""
        return self.folder / "config.yaml"

    @property
    def manifest(self) -> Path:
        """``manifest.json``."""
        return self.folder / "manifest.json"

    @property
    def metrics(self) -> Path:
        """``metrics.jsonl``."""
        return self.folder / "metrics.jsonl"

    @property
    def table(self) -> Path:
        """``table.parquet``, of a run that was given its table as an object."""
        return self.folder / "table.parquet"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """The folder of the model kept."""
        return self.folder / "model"

    @property
    def start(self) -> Path:
        """The folder of the model as training found it, where that was pretrained."""
        return self.folder / "start"

    @property
    def tensorboard(self) -> Path:
        """The folder of curves."""
        return self.folder / "tensorboard"

    @property
    def report(self) -> Path:
        """``report.html``."""
        return self.folder / "report.html"

    @classmethod
    def create(cls, folder: str | Path, *, overwrite: bool = False) -> Run:
        """Make a new run folder.

        Raises:
            RunError: there is a run already and ``overwrite`` is not set, or the folder holds
                something that is not a run.
        """
        run = cls(folder)
        run.refuse_if_taken(overwrite=overwrite)
        try:
            if run.folder.exists():
                empty(run.folder)
            run.checkpoints.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"Cannot make {run.folder}: {error.strerror}.") from error
        return run

    def refuse_if_taken(self, *, overwrite: bool) -> None:
        """Say so if :meth:`create` would refuse this folder; nothing is touched."""
        if self.folder.exists() and not self.folder.is_dir():
            raise RunError(f"{self.folder} is a file. Choose another folder: run=…")
        checkpoints = self.checkpoints
        nothing_yet = not checkpoints.is_dir() or is_free(checkpoints)
        if is_free(self.folder, (checkpoints.name,) if nothing_yet else ()):
            return
        if self.begun and not any(self.checkpoints.iterdir()):
            status = self.read_manifest()["status"]
            if status == "failed":  # it never reached a checkpoint: there is nothing to lose
                return
        if not self.config.is_file():
            raise RunError(
                f"{self.folder} is not empty and holds no run. Choose another folder: run=…"
            )
        if not overwrite:
            raise RunError(
                f"{self.folder} holds a run already. Continue it with --resume, replace it with "
                "--overwrite, or choose another folder: run=…"
            )

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run folder.

        Raises:
            RunError: there is none, or it leads out of itself by a link.
        """
        run = cls(folder)
        if not run.config.is_file():
            raise RunError(f"{run.folder} is not a run folder (it has no config.yaml).")
        run.refuse_links()
        return run

    def refuse_links(self) -> None:
        """Refuse a run or model folder in which links lead elsewhere; see `files.refuse_links`."""
        refuse_links(self.folder, _OWN)

    @property
    def begun(self) -> bool:
        """Whether a run has started here: it has a manifest."""
        return self.manifest.is_file() and self.checkpoints.is_dir()

    @property
    def finished(self) -> bool:
        """Whether it came to its end: trained, measured and reported."""
        return self.report.is_file() and self.read_manifest().get("status") == "finished"

    def evaluation(self, split: str) -> Path:
        """Where the results on one split are kept."""
        return self.folder / "evaluation" / split

    def log(self, row: dict[str, Any]) -> None:
        """Append one event to ``metrics.jsonl``, whole."""
        line = json.dumps(row, separators=(",", ":"), allow_nan=True) + "\n"
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise DiskError(
                f"Cannot write {self.metrics}: {error.strerror}. Free some space, then go on: "
                f"lookalike train --resume run={self.folder}"
            ) from error

    def history(self) -> list[dict[str, Any]]:
        """All events so far; a last line cut short by a crash is left out."""
        if not self.metrics.is_file():
            return []
        rows = []
        for number, line in enumerate(
            documents.read_text(self.metrics, fault=RunError).splitlines()
        ):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            documents.check(row, MetricsRow, f"{self.metrics}, line {number + 1}", fault=RunError)
            rows.append(row)
        return rows

    def rewind(self, step: int, *, evaluated: bool) -> None:
        """Drop the events after a checkpoint, so that a resumed run writes them again.

        Args:
            step: the checkpoint's step.
            evaluated: whether the evaluation at that step was done when it was saved.
        """
        rows = [
            row
            for row in self.history()
            if row["step"] < step
            or (row["step"] == step and (evaluated or row["kind"] != "evaluation"))
        ]
        write_text(self.metrics, "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in rows))

    def write_manifest(self, **facts: Any) -> None:
        """Merge facts into ``manifest.json``."""
        current = self.read_manifest() if self.manifest.is_file() else {}
        write_text(self.manifest, json.dumps(current | facts, indent=2, default=str) + "\n")

    def read_manifest(self) -> dict[str, Any]:
        """The facts about this run.

        Raises:
            RunError: absent, damaged, or not of a run.
        """
        return documents.read_json(self.manifest, RunFile, fault=RunError)


def environment() -> dict[str, Any]:
    """What a result depends on beside config and data: code, versions, machine."""
    versions = {"lookalike": __version__, "python": platform.python_version()}
    for package in _VERSIONS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": _command(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions,
        "code": _code_version(),
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
        },
    }


def next_folder(stem: str, parent: Path = Path("runs")) -> Path:
    """``runs/STEM``, or ``runs/STEM-2``, … when that is taken.

    >>> next_folder("cub-smooth_ap-resnet18", Path("nowhere")).name
    'cub-smooth_ap-resnet18'
    """
    folder = parent / stem
    number = 2
    while folder.exists():
        folder = parent / f"{stem}-{number}"
        number += 1
    return folder


def _command() -> str:
    program = Path(sys.argv[0]).name
    words = ["lookalike" if program in ("__main__.py", "lookalike") else program, *sys.argv[1:]]
    return " ".join(words)


def _code_version() -> str | None:
    """The commit of the source tree this package runs from, if it runs from one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if dirty else "")
