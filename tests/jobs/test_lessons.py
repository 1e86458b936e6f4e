"""Runs that learn from a teacher, and from negatives mined for each epoch."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from lookalike.data.samplers import GroupedSampler
from lookalike.errors import ConfigError, Interrupted
from lookalike.jobs import evaluate, matrix, train
from lookalike.runs import Run
from lookalike.training import trainer

pytestmark = pytest.mark.slow

MINED = [
    "sampler=grouped",
    "sampler.m=2",
    "sampler.negatives=2",
    "loss=triplet",
    "loss.distance=squared",
    "loss.reduction=anchors",
]
TAUGHT = [
    "loss=asymmetric_distillation",
    "sampler=random",
    "transform.size=16",
    "distillation.teacher_size=32",
    "distillation.views=2",
]


def words(toy, *more):
    """The toy run without its sampler's options, which are those of another sampler."""
    return [*(word for word in toy if not word.startswith("sampler.")), *more]


def weights_of(folder):
    state = torch.load(Run(folder).checkpoints / "last.pt", weights_only=True)
    return state["parts"]["model"] if "parts" in state else state["model"]


@pytest.mark.parametrize("mode", ["ts_aug", "ts_reg"])
def test_a_student_comes_nearer_to_its_teacher(toy, finished, tmp_path, mode):
    given = words(toy, *TAUGHT, f"teacher={finished}", f"distillation.mode={mode}", "epochs=6")
    if mode == "ts_reg":
        given += ["loss.lam_1=0", "loss.lam_2=0"]
    folder = train.run([*given, f"run={tmp_path / 'student'}"], quiet=True)
    losses = [row["loss"] for row in Run(folder).history() if row["kind"] == "train"]
    assert losses[-1] < 0.8 * losses[0]


def test_a_new_model_finds_its_classes_in_the_old_gallery(toy, finished, tmp_path):
    more = [f"teacher={finished}", "distillation.mode=compatible", "model.embedding_size=12"]
    kept = ["evaluation.metrics=[mean_average_precision]", "evaluation.every=0", "epochs=20"]
    found = {}
    for weight in (0.0, 3.0):
        folder = tmp_path / f"weight{weight:.0f}"
        given = [*toy, *more, *kept, f"distillation.rank_weight={weight}", f"run={folder}"]
        train.run(given, quiet=True)
        told = matrix.run([str(finished), str(folder)], split="train", as_json=True)
        found[weight] = told["cells"][1][0]["values"]["mean_average_precision_level0"]
        (upgrade,) = told["upgrades"]
        assert upgrade["now"] == found[weight]
    assert found[3.0] > found[0.0] + 0.04  # images it has seen: what the term alone teaches


def test_a_student_of_several_widths_measures_each(toy, finished, tmp_path):
    more = [f"teacher={finished}", "model.widths=[2,4]", "epochs=1"]
    folder = train.run([*words(toy, *TAUGHT, *more), f"run={tmp_path / 'x'}"], quiet=True)
    assert {path.name for path in (folder / "evaluation").iterdir()} >= {"2d-test", "4d-test"}
    given = evaluate.run(folder, gallery=finished, as_json=True)
    cut = given["2d-test: x → toy"]["values"]["mean_average_precision_level0"]
    told = matrix.run([str(folder), str(finished)], width=2, as_json=True)
    assert cut == told["cells"][0][1]["values"]["mean_average_precision_level0"]


@pytest.mark.parametrize("lesson", ["mined", "taught"])
def test_a_lesson_stopped_in_an_epoch_and_resumed_ends_with_the_same_bits(
    toy, finished, tmp_path, monkeypatch, lesson
):
    more = MINED if lesson == "mined" else [*TAUGHT, f"teacher={finished}"]
    whole = train.run([*words(toy, *more), f"run={tmp_path / 'whole'}"], quiet=True)
    steps = Run(whole).read_manifest()["steps"]
    count, backward = 0, trainer.SupervisedStep.descend

    def stopping(self, *args):
        nonlocal count
        count += 1
        if count == steps // 2 + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return backward(self, *args)

    monkeypatch.setattr(trainer.SupervisedStep, "descend", stopping)
    folder = tmp_path / "broken"
    with pytest.raises(Interrupted):
        train.run([*words(toy, *more), f"run={folder}"], quiet=True)
    monkeypatch.undo()
    train.run([f"run={folder}"], resume=True, quiet=True)
    expected, found = weights_of(whole), weights_of(folder)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_negatives_are_mined_for_every_epoch_with_the_model_as_it_is(toy, tmp_path, monkeypatch):
    asked, set_negatives = [], GroupedSampler.set_negatives

    def spy(self, epoch, rows, embeddings):
        asked.append((epoch, embeddings.copy()))
        set_negatives(self, epoch, rows, embeddings)

    monkeypatch.setattr(GroupedSampler, "set_negatives", spy)
    train.run([*words(toy, *MINED), f"run={tmp_path / 'x'}"], quiet=True)
    assert [epoch for epoch, _ in asked] == [0, 1, 2]
    assert not (asked[0][1] == asked[1][1]).all()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["teacher=nowhere/at/all"], "teacher=nowhere/at/all: there is no such run"),
        (["teacher=FINISHED", "loss=smooth_ap"], "would never ask the teacher"),
        (["teacher=FINISHED", "distillation.mode=ts_agu"], "Did you mean 'ts_aug'?"),
        ([], "loss=asymmetric_distillation learns from a teacher"),
    ],
)
def test_what_does_not_go_together_is_refused(toy, finished, tmp_path, more, message):
    more = [word.replace("FINISHED", str(finished)) for word in more]
    with pytest.raises(ConfigError, match=message):
        train.run([*words(toy, *TAUGHT, *more), f"run={tmp_path / 'x'}"], quiet=True)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "loss=asymmetric_distillation learns from a teacher. Name it"),
        (["teacher=nowhere/at/all"], "teacher=nowhere/at/all: there is no such run"),
    ],
)
def test_a_recipe_misses_its_teacher_before_data_or_weights(tmp_path, more, message):
    given = ["recipe=raml/cub", f"data_root={tmp_path}", f"run={tmp_path / 'x'}", *more]
    with pytest.raises(ConfigError, match=message):
        train.run(given, quiet=True)
