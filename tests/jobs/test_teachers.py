"""Who may teach, what a student keeps of its teacher, and what an index makes of that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import lookalike
from lookalike.cli import app
from lookalike.compose import compose
from lookalike.errors import ConfigError, ModelError
from lookalike.jobs import train
from lookalike.models import weights
from lookalike.runs import Run
from lookalike.training import teacher as teachers
from lookalike.training import teacher_cache

pytestmark = pytest.mark.slow

TAUGHT = [
    "loss=asymmetric_distillation",
    "loss.lam_1=0",
    "loss.lam_2=0",
    "sampler=random",
    "transform.size=16",
    "distillation.mode=ts_reg",
    "epochs=1",
]


def words(toy, *more):
    return [*(word for word in toy if not word.startswith("sampler.")), *TAUGHT, *more]


@pytest.fixture(scope="module")
def narrow(toy, finished, tmp_path_factory) -> Path:
    """A student of 5 numbers under a teacher of 8."""
    folder = tmp_path_factory.mktemp("runs") / "narrow"
    more = [f"teacher={finished}", "model.embedding_size=5", f"run={folder}"]
    return train.run(words(toy, *more), quiet=True)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> tuple[Path, nn.Module]:
    """A checkpoint as RAML's code writes it, and the network that wrote it."""
    torch.manual_seed(0)
    network = nn.Module()
    network.backbone = nn.Sequential(*list(torchvision.models.resnet18().children())[:-2])
    network.pool = nn.Module()
    network.pool.p = nn.Parameter(torch.tensor([2.5]))
    network.whiten = nn.Linear(512, 8)
    file = tmp_path_factory.mktemp("raml") / "cub-448r-resnet18-8-gem-w.pth"
    meta = {"architecture": "resnet18", "pooling": "gem", "whitening": 8, "outputdim": 8}
    torch.save({"meta": meta, "state_dict": network.state_dict()}, file)
    return file, network.eval()


def manifest(folder: Path) -> dict:
    return json.loads((weights.model_folder(folder) / "model.json").read_text())


def test_the_teachers_index_takes_its_student_and_refuses_a_stranger(finished, narrow, tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        pixels = draw.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")

    def lookalike_says(*given):
        done = CliRunner().invoke(app, [str(word) for word in given])
        return done.exit_code, str(done.exception or "") + done.output

    index, query = tmp_path / "ix", tmp_path / "photos" / "0.png"
    code, said = lookalike_says("index", "build", finished, query.parent, "--out", index)
    assert code == 0, said
    assert manifest(narrow)["teacher"] == manifest(finished)["sha256"]
    code, said = lookalike_says("search", index, query, "--model", narrow)
    assert code == 0, said
    assert "photos/3.png" in said
    stranger = lookalike.create_model("conv4", pretrained=False, embedding_size=8, size=16)
    stranger.teacher = manifest(narrow)["sha256"]  # a student, but of another
    weights.save(stranger, tmp_path / "stranger")
    code, said = lookalike_says("search", index, query, "--model", tmp_path / "stranger")
    assert code != 0
    assert "was made by another model" in said


def test_a_narrow_student_carries_its_projection(finished, narrow):
    model = lookalike.load(narrow)
    assert (model.spec.embedding_size, model.spec.projection, model.width) == (5, 8, 8)
    state = torch.load(Run(narrow).checkpoints / "last.pt", weights_only=True)["parts"]["model"]
    begun = lookalike.create_model("conv4", pretrained=False, embedding_size=5)
    torch.manual_seed(1)
    begun.project(8)
    gram = state["projection.weight"].T @ state["projection.weight"]
    assert not torch.allclose(gram, torch.eye(5), atol=1e-4)  # as it began; it has learned since
    torch.testing.assert_close(
        begun.projection.weight.T @ begun.projection.weight, torch.eye(5), atol=1e-5, rtol=0
    )
    with pytest.raises(ConfigError, match="behind it already"):
        model.project(4)


def test_a_cnn_learns_from_a_transformer(toy, tmp_path):
    torch.manual_seed(0)
    options = {"img_size": 32, "patch_size": 8, "depth": 1}
    teacher = lookalike.create_model(
        "test_vit", pretrained=False, embedding_size=None, size=32, options=options
    )
    weights.save(teacher, tmp_path / "vit")
    more = ["model.embedding_size=12", f"teacher={tmp_path / 'vit'}", "epochs=8"]
    folder = train.run([*words(toy, *more), f"run={tmp_path / 'student'}"], quiet=True)
    losses = [row["loss"] for row in Run(folder).history() if row["kind"] == "train"]
    assert losses[-1] < 0.8 * losses[0]
    assert lookalike.load(folder).width == 64


def test_a_published_checkpoint_teaches(toy, resnet, tmp_path):
    file, network = resnet
    more = [f"teacher={file}", "distillation.teacher_size=32", f"run={tmp_path / 'student'}"]
    folder = train.run(words(toy, *more), quiet=True)
    kept = lookalike.load(folder / "teacher")
    assert (kept.spec.backbone, kept.spec.pool, kept.spec.head_norm) == ("resnet18", "gem", "l2")
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        maps = network.backbone((pictures - kept.mean) / kept.std)
        pooled = maps.clamp(min=1e-6).pow(network.pool.p).mean((2, 3)).pow(1 / network.pool.p)
        unit = nn.functional.normalize(network.whiten(nn.functional.normalize(pooled)))
        torch.testing.assert_close(kept(pictures), unit, atol=2e-5, rtol=0)
    # The index is built with the folder that the run keeps, and knows the student by it.
    assert manifest(folder)["teacher"] == manifest(folder / "teacher")["sha256"]


def test_a_timm_name_teaches_with_its_published_weights(toy, monkeypatch):
    made = {}

    def create(name, **options):
        made[name] = options
        return lookalike.create_model(name, **options, pretrained=False)

    monkeypatch.setattr(teachers, "create_model", create)
    given = words(toy, "teacher=test_resnet", "distillation.teacher_size=32")
    config = compose([*given, "distillation.teacher_model.pool=gem"])
    tutor = teachers.load_teacher(config)
    assert made["test_resnet"]["pool"] == "gem"
    assert (tutor.model.width, tutor.model.spec.size, tutor.folder) == (96, 32, False)


def test_stored_embeddings_are_read_again_and_only_where_nothing_changed(
    toy, finished, tmp_path, monkeypatch
):
    asked = []
    embed = teacher_cache.embed_table
    monkeypatch.setattr(
        teacher_cache,
        "embed_table",
        lambda *given, **more: asked.append(1) or embed(*given, **more),
    )
    cache = f"distillation.cache={tmp_path / 'cache'}"
    runs = [("a", []), ("b", []), ("c", ["distillation.teacher_size=24"])]
    counts, models = [], []
    for name, more in runs:
        given = words(toy, f"teacher={finished}", cache, *more, f"run={tmp_path / name}")
        folder = train.run(given, quiet=True)
        counts.append(len(asked))
        models.append(manifest(folder)["sha256"])
    assert counts == [1, 1, 2]
    assert models[0] == models[1] != models[2]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["teacher=nowhere/at/all"], ConfigError, "teacher_size: nowhere/at/all does not say"),
        (
            ["teacher=nowhere/at/all", "distillation.teacher_size=32"],
            ConfigError,
            "there is no such run or model folder",
        ),
        (
            ["teacher=cub-448r-resnet50-512-gem-w", "distillation.teacher_size=32"],
            ModelError,
            "teacher=cub-448r-resnet50-512-gem-w: published weights, but no file",
        ),
        (
            ["teacher=FINISHED", "distillation.teacher_model.pool=gem"],
            ConfigError,
            "whose model.json says all",
        ),
        (
            ["teacher=x", "distillation.teacher_size=9", "distillation.teacher_model.pol=gem"],
            ConfigError,
            "Did you mean 'pool'",
        ),
        (
            ["teacher=FINISHED", "distillation.mode=ts_aug", "distillation.cache=x"],
            ConfigError,
            "nothing of it can be kept",
        ),
        (
            ["teacher=FINISHED", "distillation.mode=ts_aug", "distillation.rank.name=smooth_ap"],
            ConfigError,
            "Set distillation.mixup=0",
        ),
        (
            ["teacher=FINISHED", "distillation.mode=compatible"],
            ConfigError,
            "learns from labels; loss=asymmetric_distillation reads none",
        ),
        (
            ["teacher=FINISHED", "distillation.rank.name=proxy_anchor"],
            ConfigError,
            "it compares no images with a gallery",
        ),
        (["teacher=FINISHED", "model.whitening=4"], ConfigError, "Drop model.whitening"),
        (
            ["teacher=FINISHED", "distillation.rank.name=smooth_ap", "distillation.rank.tua=1"],
            ConfigError,
            "distillation.rank.tua: SmoothAP takes no such argument. Did you mean 'tau'",
        ),
    ],
)
def test_a_teacher_that_cannot_be_is_refused(toy, finished, tmp_path, more, error, message):
    more = [word.replace("FINISHED", str(finished)) for word in more]
    with pytest.raises(error, match=message):
        train.run([*words(toy, *more), f"run={tmp_path / 'x'}"], quiet=True)


def test_a_checkpoint_without_pool_says_what_it_lacks(resnet, tmp_path):
    file, _ = resnet
    state = torch.load(file, weights_only=True)["state_dict"]
    torch.save({k: v for k, v in state.items() if k != "pool.p"}, tmp_path / "bare.pth")
    from lookalike.models import published_network

    with pytest.raises(ModelError, match=r"do not tell the pool.*distillation.teacher_model.pool"):
        published_network.load(tmp_path / "bare.pth")
    assert published_network.load(tmp_path / "bare.pth", pool="max").spec.pool == "max"
