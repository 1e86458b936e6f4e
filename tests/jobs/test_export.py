"""`lookalike export`: what is written agrees with the model, and runs without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lookalike
from lookalike.data import transforms
from lookalike.errors import ConfigError, DataError, ModelError, RunError
from lookalike.jobs import export, search
from lookalike.jobs import index as indexing
from lookalike.models import weights
from lookalike.models.embedder import Spec
from lookalike.search import Index
from lookalike.search.encoders import TorchEncoder, open_encoder
from lookalike.search.exported import ExportedEncoder

pytestmark = pytest.mark.slow

WHY = "the extra 'export' is not installed"
onnx = pytest.importorskip("onnx", reason=WHY)
onnxruntime = pytest.importorskip("onnxruntime", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)
graphs = pytest.importorskip("lookalike.export.graphs")

CONV4 = {"pretrained": False, "embedding_size": 8, "size": 32, "options": {"width": 8}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    torch.manual_seed(0)
    network = lookalike.create_model("conv4", pool="gem", **CONV4)
    for module in network.modules():  # statistics such as training leaves, not those of a new net
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    weights.save(network, folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Eight images of each of ten kinds, of many sizes; one that is none."""
    draw = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "photos"
    for kind in range(10):
        small = draw.integers(0, 255, (5, 6, 3), dtype=np.uint8)
        (folder / f"kind{kind}").mkdir(parents=True)
        for number in range(8):
            moved = np.clip(small + draw.integers(-30, 30, small.shape), 0, 255).astype(np.uint8)
            size = tuple(draw.integers(25, 90, 2).tolist())
            picture = Image.fromarray(moved).resize(size, Image.Resampling.BICUBIC)
            picture.save(folder / f"kind{kind}" / f"{number}.png")
    (folder / "kind0" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def exported(model, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "onnx"
    return export.run(model, out=out, pictures=str(photos), count=60)


@pytest.fixture
def again(exported, monkeypatch):
    """Export without writing the network anew, which takes seconds."""
    net = onnx.load(exported / "network.onnx")
    monkeypatch.setattr(graphs, "network", lambda model: net)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (32, {}),
        (48, {"crop": False}),
        (32, {"interpolation": "bicubic"}),
        (32, {"rounding": "nearest"}),
        (24, {"resize": 31, "interpolation": "nearest"}),
        (24, {"resize": (40, 30)}),
    ],
)
def test_the_preparation_is_the_transform(size, options):
    graph = graphs.preparation(Spec("conv4", size=size, evaluation=options))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    transform = transforms.evaluation(size, **options)
    draw = np.random.default_rng(0)
    for height, width in ((64, 64), (50, 81), (227, 41), (33, 20)):
        small = Image.fromarray(draw.integers(0, 255, (7, 9, 3), dtype=np.uint8))
        picture = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
        tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)
        ours = transform(tensor).permute(1, 2, 0).numpy()
        (theirs,) = session.run(None, {"pictures": picture[None]})[0]
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_lanczos_is_refused():
    with pytest.raises(ConfigError, match="lanczos interpolation, which ONNX does not have"):
        graphs.preparation(Spec("conv4", evaluation={"interpolation": "lanczos"}))


def test_the_export_says_what_it_agrees_in(exported, model):
    about = json.loads((exported / "exported.json").read_text())
    assert about["exported_from"] == weights.read_about(model)["sha256"]
    assert about["parity"]["pictures"] >= 59
    assert about["parity"]["largest_difference"] < 0.01
    assert about["parity"]["top_10_agreement"] > 0.97
    assert about["parity"]["map_at_r"] == pytest.approx(
        about["parity"]["map_at_r_exported"], abs=0.01
    )
    assert not list(exported.parent.glob(".*"))


def test_anyone_may_run_the_one_graph(exported, photos, model):
    """uint8 images of any size, any number of them, to unit vectors."""
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    picture = np.array(Image.open(photos / "kind3" / "1.png").convert("RGB"))
    vectors = session.run(["embedding"], {"pictures": np.stack([picture] * 3)})[0]
    np.testing.assert_allclose(vectors[2], lookalike.load(model).encode(picture)[0], atol=0.01)
    encoder = ExportedEncoder(exported)
    np.testing.assert_allclose(encoder.pictures([picture, picture]), vectors[:2], atol=1e-6)


HEAVY = """
import sys
heavy = {heavy} & set(sys.modules)
assert not heavy, heavy
"""


def run_without(heavy: set[str], code: str) -> str:
    """Run a program that must not load some packages; what it prints."""
    code += HEAVY.format(heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_index_needs_no_torch_and_answers_need_no_pandas(exported, photos, tmp_path):
    """Build, search and serve in processes that must not load what they can do without."""
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    folder, query = str(tmp_path / "ix"), str(photos / "kind2" / "3.png")
    torch_and_kin = {"torch", "torchvision", "timm"}
    run_without(
        torch_and_kin,
        f"from lookalike.jobs import index\n"
        f"index.build({str(exported)!r}, {str(photos)!r}, {folder!r}, workers=1)",
    )
    said = run_without(
        torch_and_kin | {"pandas", "hydra", "omegaconf", "matplotlib", "scipy", "sklearn"},
        f"""
from pathlib import Path
from lookalike.jobs import search
search.run({folder!r}, [{query!r}], top=3, where=["label~kind", "label!=kind1"], as_json=True)
from lookalike.jobs import serve
from lookalike.search.asking import Question
from lookalike.search.encoders import own_encoder
from lookalike.web.app import create_app
from lookalike.web.service import Service
from lookalike.web.settings import Settings
service = Service(Path({folder!r}), own_encoder, Settings())
create_app(lambda timed: service, Settings())
service.load()
question = Question(3, where=["label=kind2|kind3"])
hits = service.search([Path({query!r}).read_bytes()], [], question)["hits"]
assert hits[0]["score"] > 0.9999, hits
assert service.stats()["labels"]["kind4"] == 8
assert service.item(hits[0]["id"])["labels"] == {{"label": "kind2"}}
service.thumbnail(hits[0]["id"], 64)
service.mark(hits[0]["id"], True, query_id=5, upload=None, score=0.5)
service.close()
""",
    )
    assert "kind2/3.png" in said
    index = Index.open(folder)
    assert len(index) == 80
    assert index.verify() == []


def test_the_model_and_its_exports_may_ask_one_index(exported, model, photos, tmp_path):
    query = str(photos / "kind5" / "2.png")
    by_torch = indexing.build(model, str(photos), tmp_path / "a", workers=0)
    by_onnx = indexing.build(exported, str(photos), tmp_path / "b", workers=0)
    for index, other in ((by_torch, exported), (by_onnx, model)):
        (answer,) = search.run(index.folder, [query], top=1, model=other)
        assert answer["hits"][0]["path"].endswith("kind5/2.png")
        assert answer["hits"][0]["score"] > 0.999
    torch.manual_seed(1)
    weights.save(lookalike.create_model("conv4", **CONV4), tmp_path / "stranger")
    with pytest.raises(ModelError, match="made by another model"):
        search.run(by_onnx.folder, [query], model=tmp_path / "stranger")
    with pytest.raises(ConfigError, match="computes as it was exported"):
        open_encoder(exported, "bf16")


def test_a_changed_file_is_refused(exported, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(exported, copy)
    data = bytearray((copy / "weights.bin").read_bytes())
    data[5] ^= 1
    (copy / "weights.bin").write_bytes(data)
    with pytest.raises(ModelError, match="was changed, or cut short"):
        open_encoder(copy)


def test_what_disagrees_is_not_written(model, photos, again, tmp_path, monkeypatch):
    other = graphs.preparation(Spec("conv4", size=32, evaluation={"interpolation": "nearest"}))
    monkeypatch.setattr(graphs, "preparation", lambda spec: other)
    with pytest.raises(ModelError, match="does not agree with the model: .* Nothing was written"):
        export.run(model, out=tmp_path / "out", pictures=str(photos), count=60)
    assert list(tmp_path.iterdir()) == []


def test_int8_says_what_it_costs(model, photos, again, tmp_path, capsys):
    options = {"pictures": str(photos), "count": 40, "int8": True}
    with pytest.raises(ModelError, match="more than --max-loss -2. Nothing"):
        export.run(model, out=tmp_path / "out", max_loss=-2, **options)
    folder = export.run(model, out=tmp_path / "out", max_loss=0.2, **options)
    about = json.loads((folder / "exported.json").read_text())
    assert about["precision"] == "int8"
    network = onnx.load(folder / "network.onnx")
    assert any(tensor.data_type == onnx.TensorProto.INT8 for tensor in network.graph.initializer)
    assert 0.9 < about["parity"]["smallest_cosine"] < 0.999999
    assert "MAP@R" in capsys.readouterr().out
    with pytest.raises(DataError, match="leaves 1"):
        export.run(model, out=tmp_path / "b", pictures=str(photos), count=80, int8=True)


def test_openvino_is_the_same(model, photos, again, tmp_path):
    pytest.importorskip("openvino", reason=WHY)
    folder = export.run(model, to="openvino", out=tmp_path / "ov", pictures=str(photos), count=60)
    assert {p.name for p in folder.iterdir()} == {"model.xml", "model.bin", "exported.json"}
    encoder = open_encoder(folder)
    picture = np.array(Image.open(photos / "kind3" / "1.png").convert("RGB"))
    torch_encoder = TorchEncoder(lookalike.load(model), weights.read_about(model))
    prepared = encoder.prepare(picture).astype(int)
    assert np.abs(prepared - torch_encoder.prepare(picture)).max() <= 1
    vectors = torch_encoder.pictures([picture] * 2)
    np.testing.assert_allclose(encoder.pictures([picture] * 2), vectors, atol=0.01)


def test_what_cannot_be_is_refused(model, exported, photos, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'onnx'"):
        export.run(model, to="onx")
    with pytest.raises(ConfigError, match="--pictures FOLDER"):
        export.run(model, out=tmp_path / "x")
    with pytest.raises(DataError, match="9 images do not tell"):
        export.run(model, out=tmp_path / "x", pictures=str(photos / "kind0"))
    with pytest.raises(RunError, match="Add --overwrite"):
        export.run(model, out=exported, pictures=str(photos))
    with pytest.raises(RunError, match="not an export"):
        export.run(model, out=photos, pictures=str(photos), overwrite=True)
