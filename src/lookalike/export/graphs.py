"""An embedder as ONNX graphs: the preparation of an image, the network, and both as one."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lookalike.errors import ConfigError
from lookalike.models.embedder import Embedder, Spec

OPSET = 18  # the first whose Resize knows antialiasing
PICTURES, PREPARED, EMBEDDING = "pictures", "prepared", "embedding"
WEIGHTS = "weights.bin"

# Pillow's filters, which torchvision's on uint8 are too; at most one grey level apart from them.
_RESIZE: dict[str, dict[str, Any]] = {
    "bilinear": {"mode": "linear", "antialias": 1, "exclude_outside": 1},
    "bicubic": {"mode": "cubic", "antialias": 1, "exclude_outside": 1, "cubic_coeff_a": -0.5},
    "nearest": {
        "mode": "nearest",
        "nearest_mode": "floor",
        "coordinate_transformation_mode": "asymmetric",
    },
}


def preparation(spec: Spec) -> Any:
    """The evaluation transform of a spec: uint8 ``(B, H, W, 3)`` to ``(B, size, size, 3)``.

    Args:
        spec: of the embedder; see `lookalike.data.transforms.evaluation` for its options.

    Returns:
        An ``onnx.ModelProto`` from ``pictures`` to ``prepared``. All images of a batch have one
        size.

    Raises:
        ConfigError: Lanczos, which ONNX does not have.
    """
    options = {"resize": None, "crop": True, "interpolation": "bilinear", "rounding": "down"}
    options |= spec.evaluation
    if options["interpolation"] not in _RESIZE:
        raise ConfigError(
            f"export: the model prepares images by {options['interpolation']} interpolation, "
            f"which ONNX does not have (it has {', '.join(_RESIZE)})."
        )
    return _Preparation(spec.size, options).model()


class _Preparation:
    """Writes the nodes one after the other."""

    def __init__(self, size: int, options: dict[str, Any]) -> None:
        self.size, self.options = size, options
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self) -> Any:
        from onnx import TensorProto, helper

        shape = ["batch", "height", "width", 3]
        prepared = ["batch", self.size, self.size, 3]
        planes = self._node("Transpose", PICTURES, perm=[0, 3, 1, 2])
        target = self._target(planes)
        batch = self._node("Slice", self._node("Shape", planes), self._const([0]), self._const([2]))
        sizes = self._node("Concat", batch, target, axis=0)
        kind = _RESIZE[self.options["interpolation"]]
        resized = self._node("Resize", planes, "", "", sizes, **kind)
        if self.options["crop"]:
            resized = self._centre(resized, target)
        self._node("Transpose", resized, perm=[0, 2, 3, 1], out=PREPARED)
        graph = helper.make_graph(
            self.nodes,
            "prepare",
            [helper.make_tensor_value_info(PICTURES, TensorProto.UINT8, shape)],
            [helper.make_tensor_value_info(PREPARED, TensorProto.UINT8, prepared)],
            self.constants,
        )
        opset = helper.make_opsetid("", OPSET)
        version = helper.find_min_ir_version_for(
            [opset]
        )  # onnx's newest is not yet every runtime's
        return helper.make_model(graph, opset_imports=[opset], ir_version=version)

    def _target(self, planes: str) -> str:
        """Height and width after the resize, int64 ``(2,)``, rounded as the transform does."""
        from onnx import TensorProto

        resize = self.options["resize"]
        if not self.options["crop"]:
            return self._const([self.size, self.size])
        if isinstance(resize, list | tuple):
            return self._const([*resize])
        shape = self._node("Shape", planes)
        sides = self._node("Slice", shape, self._const([2]), self._const([4]))
        shorter = self._node("ReduceMin", sides, keepdims=1)
        if self.options["rounding"] == "nearest":
            to = np.array([self.size * 8 / 7 if resize is None else resize], np.float64)
            divisor = self._node("Cast", shorter, to=TensorProto.DOUBLE)
            factor = self._node("Div", self._const(to), divisor)
            exact = self._node("Mul", self._node("Cast", sides, to=TensorProto.DOUBLE), factor)
            return self._node("Cast", self._node("Round", exact), to=TensorProto.INT64)
        to = [round(self.size * 8 / 7) if resize is None else int(resize)]
        return self._node("Div", self._node("Mul", sides, self._const(to)), shorter)

    def _centre(self, planes: str, target: str) -> str:
        from onnx import TensorProto

        side = self._const([self.size, self.size])
        over = self._node("Cast", self._node("Sub", target, side), to=TensorProto.DOUBLE)
        half = self._node("Div", over, self._const(np.array(2.0)))
        first = self._node("Cast", self._node("Round", half), to=TensorProto.INT64)
        last = self._node("Add", first, side)
        return self._node("Slice", planes, first, last, self._const([2, 3]))

    def _const(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"prepare_c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _node(self, kind: str, *inputs: str, out: str | None = None, **options: Any) -> str:
        from onnx import helper

        out = out or f"prepare_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs], [out], **options))
        return out


class _Network(nn.Module):
    def __init__(self, model: Embedder) -> None:
        super().__init__()
        self.model = model

    def forward(self, prepared: Tensor) -> Tensor:
        return self.model(prepared.permute(0, 3, 1, 2))


def network(model: Embedder) -> Any:
    """Normalisation, network and L2 norm as an ``onnx.ModelProto``, any number of images.

    From ``prepared``, uint8 ``(B, size, size, 3)``, to ``embedding``, float32 ``(B, width)``.

    Args:
        model: the embedder; its mode is put back afterwards.

    Raises:
        ConfigError: a network that torch cannot write as ONNX; the reason follows.
    """
    size, was_training = model.spec.size, model.training
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    batch = torch.export.Dim("batch", min=1, max=1 << 16)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own exporter, about its own parts
            program = torch.onnx.export(
                _Network(model.cpu().eval()),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[PREPARED],
                output_names=[EMBEDDING],
                dynamic_shapes=({0: batch},),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ConfigError(
            f"export: {model.spec.backbone} cannot be written as ONNX: {str(error)[:500]}"
        ) from error
    finally:
        model.train(was_training)
    assert program is not None
    return program.model_proto


def write(prepare: Any, net: Any, folder: Path) -> None:
    """Write ``prepare.onnx``, ``network.onnx``, and ``model.onnx``, which is one after the other.

    The weights lie once, in ``weights.bin``.

    Args:
        prepare: of `preparation`.
        net: of `network`.
        folder: where.
    """
    import onnx

    prepare.ir_version = net.ir_version
    onnx.save_model(prepare, folder / "prepare.onnx")
    onnx.save_model(net, folder / "network.onnx", save_as_external_data=True, location=WEIGHTS)
    whole = onnx.load(folder / "network.onnx", load_external_data=False)
    graph = whole.graph
    nodes = [*prepare.graph.node, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(prepare.graph.input)
    graph.initializer.extend(prepare.graph.initializer)
    graph.value_info.extend(prepare.graph.output)
    onnx.save_model(whole, folder / "model.onnx")
    onnx.checker.check_model(str(folder / "model.onnx"))


def write_openvino(onnx_folder: Path, folder: Path) -> None:
    """Turn ``model.onnx`` of `write` into ``model.xml`` and ``model.bin``.

    OpenVINO reads ONNX's antialiased resize as one without; its own interpolation after Pillow
    takes that place.

    Args:
        onnx_folder: where `write` wrote.
        folder: where to.
    """
    import openvino as typed
    from openvino import opset13 as ops

    openvino: Any = typed
    # Core reads the file by itself; convert_model would first look whether it may report its use.
    graph = openvino.Core().read_model(str(onnx_folder / "model.onnx"))
    for node in graph.get_ops():
        mode = node.get_attributes().get("mode") if node.get_type_name() == "Interpolate" else None
        if mode not in ("linear_onnx", "cubic"):
            continue
        sides = ops.slice(node.input_value(1), np.array([2]), np.array([4]), np.array([1]))
        filtered = ops.interpolate(
            ops.convert(node.input_value(0), "f32"),
            sides,
            "bilinear_pillow" if mode == "linear_onnx" else "bicubic_pillow",
            "sizes",
            cube_coeff=-0.5,
            axes=np.array([2, 3]),
        )
        whole = ops.clamp(ops.round(filtered, "half_to_even"), 0, 255)
        node.output(0).replace(ops.convert(whole, "u8").output(0))
    graph.validate_nodes_and_infer_types()
    openvino.save_model(graph, str(folder / "model.xml"), compress_to_fp16=False)


def quantize(net: Any, prepared: np.ndarray) -> Any:
    """The network with convolutions and matrix products in int8, the rest in float32.

    Scales are those of the images' own activations, a scale a channel for weights; weights take
    seven bits, so that processors without VNNI do not overflow.

    Args:
        net: of `network`.
        prepared: uint8 ``(N, size, size, 3)``, images to calibrate by.
    """
    import tempfile

    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(np.array_split(prepared, max(1, len(prepared) // 16)))

        def get_next(self) -> dict[str, np.ndarray] | None:  # pyright: ignore
            part = next(self.left, None)
            return None if part is None else {PREPARED: part}

    with tempfile.TemporaryDirectory() as place:
        first, second = Path(place) / "float.onnx", Path(place) / "int8.onnx"
        onnx.save_model(net, first)
        folded = Path(place) / "folded.onnx"  # batch norms become part of the convolutions
        quant_pre_process(first, folded, skip_symbolic_shape=True)
        quantization.quantize_static(
            folded,
            second,
            Reader(),
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            reduce_range=True,
        )
        return onnx.load(second)
