"""An exported model: graphs of ONNX or OpenVINO with their preprocessing, run without torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from lookalike import documents
from lookalike.data.decode import read_picture
from lookalike.errors import DataError, ModelError, NumericsError
from lookalike.files import sha256
from lookalike.models.embedding_store import Embedded

if TYPE_CHECKING:
    from lookalike.data.table import Table

ABOUT = "exported.json"
FORMAT = 1
KINDS = ("onnx", "openvino")

Graph = Callable[[np.ndarray], np.ndarray]


class ExportFile(documents.Document):
    """``exported.json``."""

    format: Annotated[int, Meta(ge=1)]
    kind: Literal["onnx", "openvino"]
    exported_from: str
    teacher: str | None
    backbone: str
    width: Annotated[int, Meta(ge=1, le=2**20)]
    size: Annotated[int, Meta(ge=1, le=16_384)]
    preprocessing: str
    files: dict[documents.PlainName, documents.Digest]


class ExportedEncoder:
    """An `Encoder` in onnxruntime or OpenVINO.

    Its vectors may be compared with those of the model it was exported from: the export was
    refused unless real images found the same neighbours with both.

    Args:
        folder: of ``lookalike export``.

    Raises:
        ModelError: a file that is missing or changed, or a runtime that is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        about = read_about(folder)
        self.sha256 = sha256(folder / ABOUT)
        self.origin, self.teacher = str(about["exported_from"]), about["teacher"]
        self.backbone, self.width = str(about["backbone"]), int(about["width"])
        self.size, self.preprocessing = int(about["size"]), str(about["preprocessing"])
        try:
            load = _onnx if about["kind"] == "onnx" else _openvino
            self._prepare, self._network = load(folder)
        except ImportError as error:
            raise ModelError(
                f"{folder} is an exported model; running it needs {error.name}: "
                "pip install 'lookalike[export]'"
            ) from error

    def pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """See `Encoder.pictures`."""
        return self.embed(np.stack([self.prepare(picture) for picture in pictures]))

    def prepare(self, picture: np.ndarray) -> np.ndarray:
        """See `Encoder.prepare`."""
        return self._prepare(np.ascontiguousarray(picture)[None])[0]

    def rows(
        self, table: Table, rows: np.ndarray, *, batch_size: int, workers: int
    ) -> Iterator[Embedded]:
        """See `Encoder.rows`; ``workers`` threads read the next batch while one is embedded."""
        boxes = table.boxes

        def read(row: int) -> np.ndarray | str:
            box = None if boxes is None or np.isnan(boxes[row, 0]) else tuple(boxes[row].tolist())
            try:
                return self.prepare(read_picture(table.path(row), box))
            except DataError as error:
                return str(error)

        with ThreadPoolExecutor(max(1, workers)) as pool:

            def begin(start: int) -> list[Future[np.ndarray | str]]:
                return [pool.submit(read, int(row)) for row in rows[start : start + batch_size]]

            following = begin(0)
            for start in range(0, len(rows), batch_size):
                waiting, following = following, begin(start + batch_size)
                here = rows[start : start + batch_size]
                found = [one.result() for one in waiting]
                sound = [i for i, p in enumerate(found) if isinstance(p, np.ndarray)]
                bad = {int(here[i]): p for i, p in enumerate(found) if isinstance(p, str)}
                prepared = np.array([found[i] for i in sound], np.uint8)
                yield Embedded(self.embed(prepared), here[sound], bad)

    def embed(self, prepared: np.ndarray) -> np.ndarray:
        """See `Encoder.embed`."""
        if not len(prepared):
            return np.empty((0, self.width), np.float32)
        vectors = np.asarray(self._network(np.ascontiguousarray(prepared)), np.float32)
        if not np.isfinite(vectors).all():
            raise NumericsError("The exported model gives NaN or infinity. Train and export again.")
        return vectors


def is_exported(folder: Path) -> bool:
    """Whether a folder is of ``lookalike export``."""
    return (folder / ABOUT).is_file()


def read_about(folder: Path) -> dict[str, Any]:
    """What ``exported.json`` says, once every file is as it was written.

    Raises:
        ModelError: unreadable, of a newer format, or a file that is missing or changed.
    """
    about = documents.read_json(
        folder / ABOUT, ExportFile, fault=ModelError, remedy="Export again."
    )
    if about["format"] > FORMAT:
        raise ModelError(f"{folder / ABOUT} is of a newer format. Update lookalike.")
    for name, digest in about["files"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            raise ModelError(
                f"{path} is not the file that {ABOUT} describes: it was changed, or cut short. "
                "Export again."
            )
    return about


def _threads() -> int:
    """As many as $OMP_NUM_THREADS says; 0: as the runtime likes."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() else 0


def _onnx(folder: Path) -> tuple[Graph, Graph]:
    import onnxruntime

    def load(name: str) -> Graph:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = _threads()
        session = onnxruntime.InferenceSession(
            str(folder / name), options, providers=["CPUExecutionProvider"]
        )
        place = session.get_inputs()[0].name
        return lambda pictures: np.asarray(session.run(None, {place: pictures})[0])

    return load("prepare.onnx"), load("network.onnx")


def _openvino(folder: Path) -> tuple[Graph, Graph]:
    """The one graph of the file cut in two where the prepared image is."""
    import openvino as typed
    from openvino import opset13 as ops

    openvino: Any = typed  # its stubs do not know that a Model can be made of outputs
    core = openvino.Core()
    # Left to itself OpenVINO computes in bfloat16 where the processor knows it.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if _threads():
        settings["INFERENCE_NUM_THREADS"] = _threads()

    def cut() -> tuple[Any, Any]:
        graph = core.read_model(str(folder / "model.xml"))
        outputs = [out for node in graph.get_ordered_ops() for out in node.outputs()]
        return graph, next(out for out in outputs if "prepared" in out.get_names())

    graph, prepared = cut()
    first = openvino.Model([prepared], graph.get_parameters(), "prepare")
    graph, prepared = cut()
    inputs = ops.parameter(prepared.get_partial_shape(), np.uint8, name="prepared")
    for target in prepared.get_target_inputs():
        target.replace_source_output(inputs.output(0))
    second = openvino.Model(graph.get_results(), [inputs], "network")

    def load(model: Any) -> Graph:
        compiled = core.compile_model(model, "CPU", settings)
        return lambda pictures: compiled.create_infer_request().infer([pictures])[0].copy()

    return load(first), load(second)
