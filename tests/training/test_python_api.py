"""`lookalike.train` with objects: the same training as the command line's, and nothing printed."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import lookalike as la
from lookalike.errors import ConfigError, DataError
from lookalike.jobs import evaluate
from lookalike.runs import Run
from on_device import device

OPTIONS = {"epochs": 2, "batch_size": 8, "workers": 0, "device": str(device())}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for kind in range(8):
        (root / f"kind{kind}").mkdir()
        for number in range(4):
            pixels = random.integers(0, 60, (24, 24, 3), np.uint8) + np.uint8(24 * kind)
            Image.fromarray(pixels).save(root / f"kind{kind}" / f"{number}.png")
    return root


def small():
    return la.create_model("conv4", pretrained=False, embedding_size=8, size=24)


class Notes(la.Callback):
    def __init__(self):
        self.losses, self.epochs, self.values = [], [], []

    def on_step(self, moment):
        self.losses.append(moment.loss)

    def on_epoch(self, moment):
        self.epochs.append(moment.epoch)

    def on_evaluation(self, moment, metrics, monitored):
        self.values.append((metrics["test"]["recall_at_1"], monitored))


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    notes = Notes()
    torch.manual_seed(0)
    run = la.train(
        small(),
        la.data.folder(photos),
        la.losses.SmoothAP(tau=0.05),
        sampler={"name": "m_per_class", "m": 2},
        optimizer=partial(torch.optim.SGD, lr=0.01, momentum=0.9),
        callbacks=[notes],
        run=tmp_path_factory.mktemp("runs") / "mine",
        **OPTIONS,
    )
    return run, notes


def test_the_result_holds_what_the_folder_holds(trained):
    run, notes = trained
    assert Run(run.folder).finished and run.report.is_file()
    assert run.metrics["recall_at_1"] == notes.values[-1][0]
    assert run.model.spec.backbone == "conv4" and run.model.width == 8
    assert run.splits.keys() == {"test"} and list(run.to_frame().columns) == ["test"]
    assert isinstance(run.history, pd.DataFrame) and "evaluation" in set(run.history["kind"])
    assert run.config.epochs == 2 and run.manifest["status"] == "finished"
    page = run._repr_html_()
    assert "recall_at_1" in page and "<script" not in page


def test_callbacks_hear_every_step_epoch_and_evaluation(trained):
    _, notes = trained
    assert len(notes.losses) == notes.epochs[-1] * (len(notes.losses) // 2)
    assert notes.epochs == [1, 2] and len(notes.values) == 2
    assert np.isfinite(notes.losses).all() and notes.values[0][1] is None  # no split chooses


def test_the_command_line_measures_the_run_from_its_folder(trained):
    run, _ = trained
    found = evaluate.run(run.folder, ["workers=0"])
    assert found["test"]["values"]["recall_at_1"] == run.metrics["recall_at_1"]


def test_nothing_is_printed_and_lines_are_logged(photos, tmp_path, capsys, caplog):
    with caplog.at_level(logging.INFO, logger="lookalike"):
        la.train(small(), la.data.folder(photos), "smooth_ap", run=tmp_path / "x", **OPTIONS)
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "")
    assert any(record.getMessage().startswith("model    conv4") for record in caplog.records)


def test_names_and_objects_train_the_same(photos, tmp_path):
    by_name = la.train(
        {"name": "conv4", "embedding_size": 8},
        str(photos),
        {"name": "smooth_ap", "tau": 0.05},
        run=tmp_path / "names",
        transform={"size": 24},
        **OPTIONS,
    )
    torch.manual_seed(0)  # the seed of a run, with which the named model is drawn
    from lookalike.models.build import build_model

    model = build_model(by_name.config)
    by_object = la.train(
        model,
        la.data.folder(photos),
        la.losses.SmoothAP(tau=0.05),
        run=tmp_path / "objects",
        transform={"train": by_name.config.transform.train},
        **OPTIONS,
    )
    assert by_object.config.dataset["root"] == str(by_object.folder / "table.parquet")
    a, b = by_name.model.state_dict(), by_object.model.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert by_object.metrics == by_name.metrics


def test_a_run_with_objects_goes_on_with_them_and_not_without(photos, tmp_path):
    class Stops(la.Callback):
        def on_epoch(self, moment):
            if moment.epoch == 1:
                raise KeyboardInterrupt

    def go(**more):
        torch.manual_seed(0)
        loss = la.losses.SmoothAP(tau=0.05)
        return la.train(small(), la.data.folder(photos), loss, **OPTIONS, **more)

    whole = go(run=tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        go(run=folder, callbacks=[Stops()])
    with pytest.raises(ConfigError, match="given its loss as an object"):
        la.train(run=folder, resume=True)
    resumed = go(run=folder, resume="auto")
    assert resumed.metrics == whole.metrics
    a, b = whole.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert go(run=folder, resume="auto").metrics == whole.metrics  # done: nothing is trained


def test_frames_and_wrong_data(photos, tmp_path):
    table = la.data.folder(photos)
    frame = table.frame[["label", "split"]].assign(path=table.paths)
    run = la.train(small(), frame, "smooth_ap", run=tmp_path / "x", **OPTIONS)
    assert run.metrics
    with pytest.raises(DataError, match="is not a table"):
        la.train(small(), 3, "smooth_ap", run=tmp_path / "y", **OPTIONS)
    with pytest.raises(ConfigError, match="epohcs"):
        la.train(small(), table, "smooth_ap", run=tmp_path / "y", epohcs=3)


def test_an_index_is_built_from_images_and_asked_with_one(trained, photos, tmp_path, capsys):
    run, _ = trained
    index = la.Index.from_images(run.model, photos, tmp_path / "ix", workers=0)
    image = sorted(photos.rglob("*.png"))[5]
    hits = index.search_images(image, top=3)
    assert len(hits) == 1 and hits[0][0]["path"] == str(image)
    frame = hits.to_frame()
    assert list(frame.columns) == ["query", "rank", "id", "path", "score", "label"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert hits.sheet(tmp_path / "found.png").stat().st_size > 0
    assert "<table>" in hits._repr_html_()
    with pytest.raises(ConfigError, match="PNG"):
        hits.sheet(tmp_path / "found.gif")
    assert capsys.readouterr().out == ""


def test_an_explicit_none_is_an_option_as_null_is(photos, tmp_path):
    run = la.train(
        {"name": "conv4", "embedding_size": None}, str(photos), "smooth_ap",
        run=tmp_path / "x", transform={"size": 24}, **OPTIONS,
    )  # fmt: skip
    assert run.config.model.embedding_size is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", torch.nn.Linear(2, 2)),
        ("loss", 3),
        ("sampler", 3),
        ("optimizer", torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)),
    ],
)
def test_an_object_of_another_kind_is_named(name, value, photos, tmp_path):
    given = {"model": small(), "dataset": str(photos), "loss": "smooth_ap"} | {name: value}
    with pytest.raises(ConfigError, match=rf"{name}: got \w+; give a name, or an? "):
        la.train(**given, run=tmp_path / "x", **OPTIONS)


def test_an_optimiser_that_was_an_object_is_asked_for_again(trained, tmp_path):
    run, _ = trained
    assert run.config.optimizer.name == "python_object"
    from lookalike.training.optimizers import create_optimizers

    parts = {name: torch.nn.Linear(2, 2) for name in ("backbone", "pool", "head", "loss")}
    with pytest.raises(ConfigError, match="given its optimizer as an object"):
        create_optimizers(parts, run.config.optimizer)
