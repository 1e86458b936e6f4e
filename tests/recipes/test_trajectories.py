"""Recipes beside the originals' own training, step for step, in float64.

Each record in ``tests/golden/trajectories`` is a training by the original code: its first weights,
batches, losses, rates and how far each weight moved. Here the recipe's own trainer makes the same
steps. What the README there says of sizes holds for both sides: network, images, batch, epochs and
milestones are small, all else is the recipe.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import trajectories
import trajectory_law as law

from lookalike.compose import compose
from lookalike.losses import NormSoftmax

EXACT = 1e-9
PAGES = Path(__file__).parents[2] / "docs" / "from"

# record: recipe, network, page and first words of the row that says how equal it is
RANK = {
    "roadmap_cub": ("roadmap/cub", "resnet18", "roadmap", "`roadmap/cub`"),
    "roadmap_sop": ("roadmap/sop", "resnet18", "roadmap", "`roadmap/sop`"),
    "roadmap_cub_deit": (
        "roadmap/cub_deit",
        "deit_small_distilled",
        "roadmap",
        "`roadmap/cub_deit`",
    ),
    "suprank_sop": ("suprank/sop", "resnet18", "suprank", "`suprank/sop`, ResNet-18"),
    "suprank_sop_r50": ("suprank/sop", "resnet50", "suprank", "`suprank/sop`, ResNet-50"),
    "suprank_inat_base": ("suprank/inat_base", "resnet18", "suprank", "`suprank/inat_base`"),
    "suprank_cub": ("suprank/cub", "resnet18", "suprank", "`suprank/cub`"),
    "suprank_gldv2": ("suprank/gldv2", "resnet18", "suprank", "`suprank/gldv2`"),
    "happier_sop": ("suprank/sop", "resnet34", "happier", "`suprank/sop`"),
    "happier_inat_base": ("happier/inat_base", "resnet34", "happier", "`happier/inat_base`"),
    "dyml_vehicle": ("suprank/dyml_vehicle", "resnet34", "suprank", "`suprank/dyml_vehicle`"),
    "dyml_animal": ("suprank/dyml_animal", "resnet34", "suprank", "`suprank/dyml_animal`"),
    "dyml_product": ("suprank/dyml_product", "resnet34", "suprank", "`suprank/dyml_product`"),
}
RATES = {"net": "backbone", "fc": "head"}


def said(page: str, row: str) -> tuple[float, float]:
    """How far losses and weights may be apart: what the page says, and a digit for the machine."""
    lines = (PAGES / f"{page}.md").read_text().splitlines()
    (line,) = [line for line in lines if re.match(rf"\| {re.escape(row)}.*\| \d+ \|", line)]
    losses, weights = (float(cell) for cell in line.split(" | ")[2:4])
    return max(10 * losses, 1e-12), max(10 * weights, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", RANK)
def test_a_rank_recipe_trains_as_the_original(name, tmp_path):
    recipe, network, *row = RANK[name]
    tolerance, tolerance_of_weights = said(*row)
    found = trajectories.record(name)
    pictures = law.images(int(found["seed_pictures"]), int(found["size"]))
    assert pictures.astype(np.int64).sum() == found["pictures_sum"]
    words = [f"recipe={recipe}"]
    words += trajectories.keep(tmp_path / "data", pictures, found["labels"], found["batches"])
    words += [f"sampler.per_epoch={found['per_epoch']}", f"epochs={found['epochs']}"]
    words += [f"model.backbone={network}"]
    if found["warmup_epochs"]:
        words += [f"optimizer.freeze_epochs={found['warmup_epochs']}"]
    if len(found["milestones"].ravel()):
        words += [f"optimizer.milestones={found['milestones'].tolist()}"]
    run = trajectories.start(tmp_path, words)
    weights = trajectories.law_weights(found)
    run.load(weights)
    ours = run.go()
    assert (ours["batches"] == found["batches"]).all()
    assert trajectories.relative(ours["losses"], found["loss"]) < tolerance
    for i, group in enumerate(found["lr_names"]):
        rates = ours[RATES.get(str(group), str(group))]
        np.testing.assert_allclose(rates, found["lr"][:, i], rtol=1e-12, err_msg=group)
    state, apart, moved = run.state(), {}, {}
    for i, theirs in enumerate(found["names"]):
        mine = trajectories.of_neutral(str(theirs))
        step = state[mine].numpy() - weights[mine]
        group = mine.split(".")[0] if "running" not in mine else "running"
        probe = np.random.RandomState(7).standard_normal(step.size) @ step.ravel()
        apart[group] = apart.get(group, 0.0) + (probe - found["moved_probe"][i]) ** 2
        moved[group] = moved.get(group, 0.0) + found["moved_norm"][i] ** 2
        if f"moved_first:{theirs}" in found:
            first = found[f"moved_first:{theirs}"]
            np.testing.assert_allclose(
                step.ravel()[: len(first)],
                first,
                atol=10 * tolerance_of_weights * np.abs(first).max(),
            )
    # A random probe of a difference is on the average as long as the difference.
    for group, square in apart.items():
        assert np.sqrt(square) <= tolerance_of_weights * np.sqrt(moved[group]) + 1e-15, group


# ── Positive Proxy, Smooth-AP, PSS ──────────────────────────────────────────────────────────────

SOFTMAX = ["loss=norm_softmax", "loss.temperature=0.03125", "loss.unit_proxies=true"]
LINEAR = ["loss=additive_margin_softmax", "loss.normalize_proxies=false", "loss.bias=true"]
PSS = compose(["recipe=pss/inat"]).discover.finetune
SMOOTH = ["optimizer.milestones=[2,4]"]

# record: the words for it, seed of its images, tolerance
LABELLED = {
    "pp_proxy_anchor": (["recipe=pp/cub_resnet50"], 2000),
    "pp_normalized_softmax": (["recipe=pp/cub_resnet50", *SOFTMAX], 2000),
    "smoothap": (["recipe=smooth_ap/inat", *SMOOTH], 3000),
    "smoothap_fc5": (["recipe=smooth_ap/inat", *SMOOTH, "optimizer.head.lr=5e-5"], 3000),
    "smoothap_ams": (["recipe=smooth_ap/inat", *SMOOTH, *LINEAR], 3000),
    "smoothap_ce": (["recipe=smooth_ap/inat", *SMOOTH, "loss=cross_entropy"], 3000),
    "pss_finetune_1head": (["recipe=pss/inat", *SMOOTH, *PSS], 3000),
}


def drawn_labels(seed: int, size: int):
    """Positive Proxy's batches are random, those of the others have four of each class."""
    if seed == 2000:
        return lambda draw: draw.randint(0, law.VIEW_CLASSES, size)
    return lambda draw: draw.permutation(3).repeat(4)


@pytest.mark.parametrize("name", LABELLED)
def test_a_recipe_of_labels_trains_as_the_original(name, tmp_path):
    words, seed = LABELLED[name]
    found = trajectories.record(name)
    epochs, per, size = int(found["epochs"]), int(found["per"]), int(found["B"])
    draw = drawn_labels(seed, size)
    given = trajectories.labelled(tmp_path / "data", seed, per, epochs, draw, 32)
    given += ["model.backbone=trajectories.Small", "model.embedding_size=24"]
    run = trajectories.start(tmp_path, [*words, *given])
    first = trajectories.of_views(found, "init")
    run.load(first)
    ours = run.go()
    assert trajectories.relative(ours["losses"], found["losses"]) < EXACT
    groups = ("backbone", "head", "loss")[: found["lrs"].shape[1]]
    for i, group in enumerate(groups):
        np.testing.assert_allclose(ours[group], found["lrs"][:, i], rtol=1e-12, err_msg=group)
    apart = trajectories.moved_apart(run.state(), first, trajectories.of_views(found, "final"))
    assert max(apart.values()) < EXACT, apart


def test_a_proxy_of_positive_proxy_starts_as_a_unit_row(tmp_path):
    """And so the documented words start where the record does, but for the draw."""
    torch.manual_seed(0)
    found = trajectories.record("pp_normalized_softmax")["init.loss.proxies"]
    mine = NormSoftmax(*found.shape, unit_proxies=True).proxies.detach().numpy()
    for rows in (found, mine):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-6)
    assert np.linalg.norm(NormSoftmax(100, 128).proxies.detach().numpy(), axis=1).max() < 0.7


# ── RAML ────────────────────────────────────────────────────────────────────────────────────────

# Theirs divides by the norm + 1e-6, where ours divides by the norm.
NORM = 1e-5
STUDENT = ["recipe=raml/cub", "teacher=trajectories.Small"]
GEMMP = ["model.pool=gemmp", "optimizer.pool.lr_factor=100"]
SLOWLY = ["optimizer.schedule=exponential", "optimizer.schedule_every=epoch"]
SGD = ["optimizer.name=sgd", "optimizer.options.momentum=0.9", "optimizer.lr=1e-3"]
VIEWS = {
    "raml_ts_aug_adamw_onecycle_every1": (["optimizer.schedule=one_cycle"], EXACT),
    "raml_ts_aug_adamw_onecycle": (["optimizer.schedule=one_cycle"], NORM),
    "raml_ts_aug_adam_onecycle": (["optimizer.name=adam"], NORM),
    "raml_ts_aug_adamw_cyclic": (["optimizer.schedule=cyclic"], NORM),
    "raml_ts_aug_gemmp_exponential": ([*GEMMP, *SLOWLY, "optimizer.gamma=0.99900049983"], NORM),
    "raml_ts_aug_sgd_onecycle": (SGD, NORM),
    "raml_sym_adamw_onecycle": (None, NORM),
}


def coupled(found: dict[str, np.ndarray], number: int) -> dict[str, torch.Tensor]:
    """A batch of ts_aug: views of each image at both sizes."""
    size, views = int(found["B"]), int(found["P"])
    own = 1000 + 100 * (number // int(found["per"])) + number % int(found["per"])
    labels = np.random.RandomState(own).randint(0, law.VIEW_CLASSES, size)
    sizes = (int(found["q"]), int(found["t"]))
    student, teacher = law.view(own, labels.repeat(views), *sizes)
    return {
        "pictures": torch.from_numpy(student).unflatten(0, (size, views)),
        "teacher_pictures": torch.from_numpy(teacher).unflatten(0, (size, views)),
        "labels": torch.from_numpy(labels)[:, None],
        "index": torch.arange(size),
    }


def mined(found: dict[str, np.ndarray], number: int) -> dict[str, torch.Tensor]:
    """A batch of sym: anchors, then the negatives of each."""
    size, negatives = int(found["B"]), int(found["N"])
    own = 1000 + 100 * (number // int(found["per"])) + number % int(found["per"])
    draw = np.random.RandomState(own)
    labels = draw.permutation(law.VIEW_CLASSES)[:2].repeat(4)
    others = (labels[:, None] + draw.randint(1, 4, (size, negatives))) % law.VIEW_CLASSES
    side = int(found["q"])
    pictures = [law.view(own, labels, side)[0], law.view(own + 50, others.ravel(), side)[0]]
    return {
        "pictures": torch.from_numpy(np.concatenate(pictures)),
        "labels": torch.from_numpy(np.concatenate([labels, others.ravel()]))[:, None],
        "index": torch.arange(size * (1 + negatives)),
    }


@pytest.mark.parametrize("name", VIEWS)
def test_raml_trains_as_the_original(name, tmp_path):
    words, tolerance = VIEWS[name]
    found = trajectories.record(name)
    epochs, per = int(found["epochs"]), int(found["per"])
    small = law.view(0, np.arange(4).repeat(2), int(found["q"]))[0]
    rows = np.zeros((epochs * per, int(found["B"])), np.int64)
    given = trajectories.keep(tmp_path / "data", small, np.arange(4).repeat(2)[:, None], rows)
    given += [f"sampler.per_epoch={per}", f"epochs={epochs}", "model.embedding_size=24"]
    given += ["model.backbone=trajectories.Small", f"update_every={found['update_every']}"]
    if words is None:
        given = ["recipe=raml/cub_teacher", *given, f"sampler.negatives={found['N']}"]
    else:
        pool = "gemmp" if words[: len(GEMMP)] == GEMMP else "gem"
        teacher = f"{{pool: {pool}, embedding_size: 24, head_norm: l2, pretrained: false}}"
        given = [*STUDENT, *words, *given, "distillation.teacher_size=64"]
        given += [f"distillation.teacher_model={teacher}", "distillation.precision=fp64"]
    run = trajectories.start(tmp_path, given)
    first = trajectories.of_views(found, "init")
    run.load(first)
    if words is not None:
        run.teach(trajectories.of_views(found, "teacher"))
    batch = mined if words is None else coupled
    ready = [batch(found, number) for number in range(epochs * per)]
    run.training.loader = trajectories.Given([ready[e * per :][:per] for e in range(epochs)])
    ours = run.go()
    used = [n for n in range(epochs * per) if n % per < per - per % int(found["update_every"])]
    assert trajectories.relative(ours["losses"], found["losses"][used]) < tolerance
    for i, group in enumerate(("backbone", "pool", "head")):
        np.testing.assert_allclose(ours[group], found["lrs"][:, i], rtol=1e-9, err_msg=group)
    apart = trajectories.moved_apart(run.state(), first, trajectories.of_views(found, "final"))
    assert max(apart.values()) < tolerance * 10, apart
