"""Who can search whose gallery: the numbers, the marks, the image."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import lookalike
from lookalike.cli import app
from lookalike.errors import ConfigError
from lookalike.jobs import evaluate, matrix
from lookalike.models import weights
from lookalike.report.heat_map import DARK, FRAME, HeatMap, draw_heat_map

SHOWN = ["evaluation.metrics=[recall_at_1,mean_average_precision]"]


@pytest.fixture(scope="module")
def student(finished, tmp_path_factory):
    """A model that says it is a student of the finished run."""
    torch.manual_seed(3)
    model = lookalike.load(finished)
    with torch.no_grad():
        model.head.weight += 0.05 * torch.randn_like(model.head.weight)
    model.teacher = weights.read_about(finished / "model")["sha256"]
    folder = tmp_path_factory.mktemp("models") / "student"
    weights.save(model, folder)
    return folder


def test_cells_are_those_of_evaluate(finished, student, tmp_path):
    out = tmp_path / "heat.png"
    given = ["matrix", str(finished), str(student), f"{finished}@16", "--json", "--out", str(out)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.exception
    found = json.loads(done.output)
    names = [model["name"] for model in found["models"]]
    assert names == ["toy", "student", "toy@16"]
    assert [model["size"] for model in found["models"]] == [32, 32, 16]
    assert all(model["milliseconds_a_query"] > 0 for model in found["models"])
    told = evaluate.run(
        student, ["dataset=toy", *_toy(finished)], gallery=finished,
        as_json=True,
    )  # fmt: skip
    values = told["test: student → toy"]
    cell = found["cells"][1][0]
    assert (cell["query"], cell["gallery"]) == ("student", "toy")
    for name, value in cell["values"].items():
        assert value == values["values"][name]
        assert cell["intervals"][name] == list(values["intervals_over_classes"][name])
    alone = found["cells"][0][0]["values"]["recall_at_1_level0"]
    own = evaluate.run(finished, SHOWN, as_json=True)["test"]["values"]
    assert alone == own["recall_at_1_level0"]
    marks = [[cell["made_for_each_other"] for cell in row] for row in found["cells"]]
    assert marks == [[True, False, False], [True, True, False], [False, False, True]]
    assert Image.open(out).size[0] > 400


def test_an_upgrade_is_what_new_queries_gain_in_the_old_gallery(finished, student):
    found = matrix.run([str(finished), str(student)], as_json=True)
    (upgrade,) = found["upgrades"]
    (old, _), (now, new) = (
        [cell["values"]["mean_average_precision_level0"] for cell in row] for row in found["cells"]
    )
    assert (upgrade["query"], upgrade["gallery"]) == ("student", "toy")
    assert (upgrade["before"], upgrade["now"], upgrade["embedded_again"]) == (old, now, new)
    if new > old:
        assert upgrade["share"] == pytest.approx((now - old) / (new - old))
    else:
        assert upgrade["share"] is None


def test_widths_that_differ_leave_a_cell_empty(finished, tmp_path, capsys):
    wide = lookalike.create_model("conv4", pretrained=False, embedding_size=16, size=16)
    weights.save(wide, tmp_path / "wide")
    found = matrix.run([str(finished), str(tmp_path / "wide")], out=tmp_path / "heat.png")
    assert found["cells"][0][1] is found["cells"][1][0] is None
    assert "–" in capsys.readouterr().out


def test_a_width_cuts_queries_and_gallery(finished, student):
    found = matrix.run([str(finished), str(student)], width=3, as_json=True)
    from lookalike.data.build import build_table
    from lookalike.evaluation import evaluator
    from lookalike.evaluation.benchmarks import own_config

    config = own_config(finished)
    table = build_table(config).split("test")
    cut = [lookalike.load(folder).encode(table)[:, :3] for folder in (student, finished)]
    own, other = (x / (x**2).sum(1, keepdims=True) ** 0.5 for x in cut)
    told = evaluator.measure_vectors("test", table, own, config.evaluation, other).report.values
    assert found["cells"][1][0]["values"]["recall_at_1_level0"] == told["recall_at_1_level0"]
    with pytest.raises(ConfigError, match="embeddings of toy are 8-d"):
        matrix.run([str(finished), str(student)], width=9)


def test_what_is_no_matrix_is_refused(finished):
    with pytest.raises(ConfigError, match="name two models or more"):
        matrix.run([str(finished)])
    with pytest.raises(ConfigError, match="each once"):
        matrix.run([str(finished), str(finished)])
    with pytest.raises(ConfigError, match="Did you mean"):
        matrix.run([str(finished), f"{finished}@16"], metrics=["recal_at_1"])


def test_the_darkest_cell_is_the_largest_and_frames_are_where_they_belong():
    values = [[0.1, 0.9], [None, 0.5]]
    blank = [["", ""], ["", ""]]
    marked = [[False, False], [False, True]]
    picture = draw_heat_map(HeatMap("t", ["a", "b"], ["c", "d"], values, blank, marked))
    colours = picture.getcolors(1 << 20)
    assert colours is not None
    pixels = {colour: count for count, colour in colours}
    assert pixels[DARK] > 5000
    assert pixels[FRAME] > 500
    unmarked = [[False, False], [False, False]]
    plain = draw_heat_map(HeatMap("t", ["a", "b"], ["c", "d"], values, blank, unmarked))
    assert FRAME not in {colour for _, colour in plain.getcolors(1 << 20) or []}


def _toy(finished):
    """The data options of the finished run."""
    from lookalike.compose import from_yaml

    config = from_yaml((finished / "config.yaml").read_text())
    given = {k: v for k, v in config.dataset.items() if k != "name"}
    return [*(f"dataset.{k}={v}" for k, v in given.items()), "workers=0", *SHOWN]
