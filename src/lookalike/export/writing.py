"""The files of an export: graphs, weights, and what they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lookalike import __version__
from lookalike.console import Console
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, RunError, suggest
from lookalike.evaluation.benchmarks import own_config
from lookalike.export.parity import compare, draw, refuse
from lookalike.files import is_free, replacing_folder, sha256, write_text
from lookalike.runs import Run
from lookalike.search.encoders import TorchEncoder
from lookalike.search.exported import ABOUT, FORMAT, ExportedEncoder, is_exported
from lookalike.search.source import read_source

# A grey level here and there is allowed: the resize of another library rounds otherwise.
AGREEMENT, COSINE = 0.97, 0.999
_FEWEST = 20
_CALIBRATION = 128

FORMATS = ("onnx", "openvino")


def export_model(
    model: Path,
    *,
    to: str,
    out: Path | None,
    pictures: str | None,
    overrides: Sequence[str],
    int8: bool,
    max_loss: float,
    count: int,
    overwrite: bool,
) -> Path:
    """Write a model for onnxruntime or OpenVINO and print how it agrees; the folder.

    See `lookalike.jobs.export`.
    """
    from lookalike.models import weights

    console = Console()
    folder = weights.model_folder(model)
    Run(Path(model).expanduser()).refuse_links()  # the export is written into it
    kind = f"{to}-int8" if int8 else to
    out = Path(out) if out is not None else Path(model).expanduser() / "exported" / kind
    if not is_free(out) and not (overwrite and is_exported(out)):
        what = "Add --overwrite, or choose" if is_exported(out) else "It is not an export; choose"
        raise RunError(f"{out} exists already. {what} another --out.")
    about = weights.read_about(folder)
    encoder = TorchEncoder(weights.load(folder), about)
    table = _compared_table(Path(model), pictures, overrides)
    chosen, rest = draw(table, count)
    console.say(f"export   {encoder.backbone}, {encoder.width:,}-d, {encoder.size} px, to {kind}")
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


def check_installed(to: str) -> None:
    """Refuse a format that is unknown, or whose packages are not installed."""
    from importlib.util import find_spec

    if to not in FORMATS:
        raise ConfigError(f"--to {to}: no such format. {suggest(to, FORMATS)}")
    for module in (
        "onnx",
        "onnxscript",
        "onnxruntime",
        *(["openvino"] if to == "openvino" else []),
    ):
        if find_spec(module) is None:
            raise ConfigError(f"lookalike export needs {module}: pip install 'lookalike[export]'")


def _compared_table(model: Path, pictures: str | None, overrides: Sequence[str]) -> Table:
    """The images to compare by."""
    if pictures is not None:
        table = read_source(pictures, overrides)
    else:
        if not (model.expanduser() / "config.yaml").is_file():
            raise ConfigError(
                f"{model} is not a run, so it names no images. Say by which the export is to be "
                "compared with the model: --pictures FOLDER"
            )
        from lookalike.data.build import build_table

        table = build_table(own_config(model, overrides))
    splits = table.evaluation_splits
    return table.split(splits[0]) if splits else table


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
            f"--int8 is calibrated on images beside those compared, and {table.name} leaves "
            f"{len(table)}. Give more by --pictures, or compare fewer by --count."
        )
    boxes = table.boxes if table.boxes is not None else np.full((len(table), 4), np.nan)
    prepared = []
    for row in np.random.default_rng(0).permutation(len(table)).tolist():
        box = None if np.isnan(boxes[row, 0]) else tuple(boxes[row].tolist())
        try:
            prepared.append(encoder.prepare(read_picture(table.path(row), box)))
        except DataError:
            continue  # another image serves; `lookalike data check` names the broken ones
        if len(prepared) == _CALIBRATION:
            break
    if not prepared:
        raise DataError(f"{table.name}: none of the images to calibrate by can be read.")
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
