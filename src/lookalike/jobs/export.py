"""``lookalike export``: a model as ONNX or OpenVINO, once real pictures show that it agrees."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import __version__
from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, ModelError, RunError, counted, suggest
from lookalike.evaluation.benchmarks import own_config
from lookalike.files import is_free, replacing_folder, sha256, write_text
from lookalike.metrics.labels import DISTRACTOR
from lookalike.runs import Run
from lookalike.search.encoders import Encoder, TorchEncoder
from lookalike.search.exact import MemoryGallery
from lookalike.search.exported import ABOUT, FORMAT, KINDS, ExportedEncoder, is_exported
from lookalike.search.source import read_source

# A grey level here and there is allowed: the resize of another library rounds otherwise.
AGREEMENT, COSINE = 0.97, 0.999
_FEWEST = 20
_CALIBRATION = 128


@dataclass(frozen=True)
class Parity:
    """How an exported model's vectors of real pictures differ from the model's own.

    Attributes:
        data: whose pictures.
        pictures: how many.
        largest_difference: between any two numbers of the vectors.
        smallest_cosine: between the two vectors of a picture.
        top_10_agreement: share of a picture's ten nearest among the others that both name.
        map_at_r: MAP@R of the model, None where no two pictures share a label.
        map_at_r_exported: of the export.
    """

    data: str
    pictures: int
    largest_difference: float
    smallest_cosine: float
    top_10_agreement: float
    map_at_r: float | None
    map_at_r_exported: float | None

    @property
    def loss(self) -> float | None:
        """MAP@R that the export costs."""
        if self.map_at_r is None or self.map_at_r_exported is None:
            return None
        return self.map_at_r - self.map_at_r_exported


def run(
    model: str | Path,
    *,
    to: str = "onnx",
    out: str | Path | None = None,
    pictures: str | None = None,
    overrides: Sequence[str] = (),
    int8: bool = False,
    max_loss: float = 0.01,
    count: int = 500,
    overwrite: bool = False,
) -> Path:
    """Write a model for onnxruntime or OpenVINO, its preprocessing inside.

    Nothing is written unless the export finds the same neighbours of real pictures as the model.

    Args:
        model: a run folder or a model folder.
        to: ``onnx`` or ``openvino``.
        out: the folder to write; default: ``exported/KIND`` of the run.
        pictures: a folder, a table or a data set to compare by; default: the run's test split.
        overrides: settings of that data set.
        int8: convolutions and matrix products in int8, calibrated on further pictures.
        max_loss: most of MAP@R that int8 may cost.
        count: pictures to compare by.
        overwrite: replace an export.

    Returns:
        The folder.

    Raises:
        ConfigError: options that cannot be, a part that is not installed, a network that cannot be
            written.
        ModelError: the export does not agree with the model; the report follows.
        DataError: too few pictures to tell.
    """
    if to not in KINDS:
        raise ConfigError(f"--to {to}: {suggest(to, KINDS)}")
    _check_installed(to)
    from lookalike.models import weights

    console = Console()
    folder = weights.model_folder(model)
    Run(Path(model).expanduser()).refuse_links()  # the export is written into it
    kind = f"{to}-int8" if int8 else to
    out = Path(out) if out is not None else Path(model).expanduser() / "exported" / kind
    if not is_free(out) and not (overwrite and is_exported(out)):
        what = "Add --overwrite, or choose" if is_exported(out) else "It is no export; choose"
        raise RunError(f"{out} exists already. {what} another --out.")
    about = weights.read_about(folder)
    encoder = TorchEncoder(weights.load(folder), about)
    table = _table(Path(model), pictures, overrides)
    chosen, rest = draw(table, count)
    console.say(
        f"export   {encoder.backbone}, {counted(encoder.width, 'number')}, {encoder.size} px, to"
        f" {kind}"
    )
    with replacing_folder(out) as part:
        _write_graphs(encoder, to, part, table.where(rest) if int8 else None)
        described = _describe(part, encoder, to, "int8" if int8 else "float32")
        parity = compare(encoder, ExportedEncoder(part), table.where(chosen), console)
        refuse(parity, max_loss if int8 else None)
        # What is in the file is bound to what was measured with it.
        write_text(
            part / ABOUT, json.dumps(described | {"parity": asdict(parity)}, indent=2) + "\n"
        )
    size = sum(p.stat().st_size for p in out.iterdir())
    console.say(f"written  {out}, {size / 1e6:,.1f} MB")
    return out


def _check_installed(to: str) -> None:
    from importlib.util import find_spec

    for module in (
        "onnx",
        "onnxscript",
        "onnxruntime",
        *(["openvino"] if to == "openvino" else []),
    ):
        if find_spec(module) is None:
            raise ConfigError(f"lookalike export needs {module}: pip install 'lookalike[export]'")


def _table(model: Path, pictures: str | None, overrides: Sequence[str]) -> Table:
    """The pictures to compare by."""
    if pictures is not None:
        table = read_source(pictures, overrides)
    else:
        if not (model.expanduser() / "config.yaml").is_file():
            raise ConfigError(
                f"{model} is no run, so it names no pictures. Say by which the export is to be "
                "compared with the model: --pictures FOLDER"
            )
        from lookalike.data.build import build_table

        table = build_table(own_config(model, overrides))
    splits = table.evaluation_splits
    return table.split(splits[0]) if splits else table


def draw(table: Table, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to compare by, whole classes drawn until there are enough; and the others.

    Raises:
        DataError: too few to tell.
    """
    if len(table) < _FEWEST:
        raise DataError(
            f"{table.name}: {counted(len(table), 'picture does', 'pictures do')} not tell whether "
            f"two models agree; give at least {_FEWEST} by --pictures."
        )
    random = np.random.default_rng(0)
    labels = table.labels[:, 0] if table.levels else np.full(len(table), DISTRACTOR)
    place = np.where(labels == DISTRACTOR, len(table) + np.arange(len(table)), labels)
    kinds, codes = np.unique(place, return_inverse=True)
    turn = random.permutation(len(kinds))[codes]
    order = np.lexsort((np.arange(len(table)), turn))
    return np.sort(order[:count]), np.sort(order[count:])


def _write_graphs(encoder: TorchEncoder, to: str, part: Path, calibration: Table | None) -> None:
    from lookalike.export import graphs

    prepare = graphs.preparation(encoder.model.spec)
    net = graphs.network(encoder.model)
    if calibration is not None:
        net = graphs.quantize(net, _prepared(encoder, calibration))
    graphs.write(prepare, net, part)
    if to == "openvino":
        graphs.write_openvino(part, part)
        for path in [*part.glob("*.onnx"), part / graphs.WEIGHTS]:
            path.unlink()


def _prepared(encoder: TorchEncoder, table: Table) -> np.ndarray:
    from lookalike.data.decode import read_picture

    if len(table) < _FEWEST:
        raise DataError(
            f"--int8 is calibrated on pictures beside those compared, and {table.name} leaves "
            f"{len(table)}. Give more by --pictures, or compare fewer by --count."
        )
    boxes = table.boxes if table.boxes is not None else np.full((len(table), 4), np.nan)
    prepared = []
    for row in np.random.default_rng(0).permutation(len(table)).tolist():
        box = None if np.isnan(boxes[row, 0]) else tuple(boxes[row].tolist())
        try:
            prepared.append(encoder.prepare(read_picture(table.path(row), box)))
        except DataError:
            continue  # another picture serves; `lookalike data check` names the broken ones
        if len(prepared) == _CALIBRATION:
            break
    if not prepared:
        raise DataError(f"{table.name}: none of the pictures to calibrate by can be read.")
    return np.stack(prepared)


def _describe(part: Path, encoder: TorchEncoder, to: str, precision: str) -> dict[str, Any]:
    described = {
        "format": FORMAT,
        "lookalike": __version__,
        "kind": to,
        "precision": precision,
        "exported_from": encoder.sha256,
        "teacher": encoder.teacher,
        "backbone": encoder.backbone,
        "width": encoder.width,
        "size": encoder.size,
        "preprocessing": encoder.preprocessing,
        "files": {path.name: sha256(path) for path in sorted(part.iterdir())},
    }
    write_text(part / ABOUT, json.dumps(described, indent=2) + "\n")
    return described


def compare(one: Encoder, other: Encoder, table: Table, console: Console | None = None) -> Parity:
    """Embed pictures by both and say how the vectors differ; the report is printed."""
    console = console or Console(silent=True)
    with console.embedding(f"{table.name} twice", 2 * len(table)) as advance:
        vectors, kept = _embed(one, table, advance)
        others, same = _embed(other, table, advance)
    if not np.array_equal(kept, same) or len(kept) < _FEWEST:
        raise DataError(
            f"{table.name}: too few of its pictures can be read ({len(kept)} and {len(same)} of "
            f"{len(table)}). Look at them: lookalike data check"
        )
    rows = np.arange(len(kept))
    near, far = (MemoryGallery.of(x).search(x, 10, own=rows).rows for x in (vectors, others))
    agreement = [len(set(a) & set(b)) / len(a) for a, b in zip(near, far, strict=True)]
    labels = table.labels[kept, 0] if table.levels else None
    parity = Parity(
        table.name,
        len(kept),
        float(np.abs(vectors - others).max()),
        float((vectors * others).sum(axis=1).min()),
        float(np.mean(agreement)),
        _map_at_r(vectors, labels),
        _map_at_r(others, labels),
    )
    console.say(
        f"parity   {counted(parity.pictures, 'picture')} of {parity.data}: numbers differ by at"
        " most "
        f"{parity.largest_difference:.2g}, cosines are at least {parity.smallest_cosine:.5f}, "
        f"{parity.top_10_agreement:.2%} of the ten nearest agree"
    )
    if parity.loss is not None:
        console.say(
            f"MAP@R    {parity.map_at_r:.4f} of the model, {parity.map_at_r_exported:.4f} exported "
            f"({-parity.loss:+.4f})"
        )
    return parity


def _embed(encoder: Encoder, table: Table, advance: Any) -> tuple[np.ndarray, np.ndarray]:
    rows, vectors = [], []
    for here, part, bad in encoder.rows(table, np.arange(len(table)), batch_size=32, workers=0):
        rows.append(here)
        vectors.append(part)
        if advance is not None:
            advance(len(here) + len(bad))
    return np.concatenate(vectors), np.concatenate(rows)


def _map_at_r(vectors: np.ndarray, labels: np.ndarray | None) -> float | None:
    from lookalike.metrics import evaluate

    if (
        labels is None
        or np.unique(labels[labels != DISTRACTOR], return_counts=True)[1].max(initial=0) < 2
    ):
        return None
    return evaluate(vectors, labels, metrics="mean_average_precision_at_r")["map_at_r"]


def refuse(parity: Parity, max_loss: float | None) -> None:
    """Refuse an export that does not agree with its model.

    Args:
        parity: what was measured.
        max_loss: of int8, which is judged by MAP@R instead of by each neighbour.

    Raises:
        ModelError: it does not.
    """
    if max_loss is None:
        if parity.top_10_agreement < AGREEMENT or parity.smallest_cosine < COSINE:
            raise ModelError(
                f"The export does not agree with the model: {parity.top_10_agreement:.2%} of the "
                f"ten nearest are the same ({AGREEMENT:.0%} are needed), the smallest cosine is "
                f"{parity.smallest_cosine:.4f} ({COSINE} is needed). Nothing was written."
            )
        return
    if parity.loss is None:
        raise DataError(
            f"--int8 is judged by MAP@R, and no two pictures of {parity.data} share a label. Give "
            "labelled ones by --pictures."
        )
    if parity.loss > max_loss:
        raise ModelError(
            f"int8 costs {parity.loss:.4f} of MAP@R, more than --max-loss {max_loss:g}. Nothing "
            "was written."
        )
