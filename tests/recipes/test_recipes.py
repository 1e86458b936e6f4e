"""Every recipe trains: its own options, its data set in miniature, two steps, an evaluation.

The pages ``docs/from`` say what to write instead of the commands of the five systems; each row of
their tables is run here.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import miniatures
import pytest
from typer.testing import CliRunner

from lookalike.cli import app
from lookalike.compose import choices, compose
from lookalike.errors import RunError
from lookalike.jobs import discover, sweep, train

DOCS = Path(__file__).parents[2] / "docs"
# Pages of libraries, whose rows are Python: tests/losses/test_from_the_peer.py runs them.
LIBRARIES = ("pytorch_metric_learning", "open_metric_learning")
PAGES = [page for page in sorted((DOCS / "from").glob("*.md")) if page.stem not in LIBRARIES]
RECIPES = [name for name in choices("recipe") if "/" in name]
OWN = [name for name in RECIPES if name.startswith("photos/")]
DATA = ("cub", "cars196", "sop", "inaturalist", "gldv2")
DATA += ("dyml_vehicle", "dyml_animal", "dyml_product")
# What options are checked against, where they need a recipe's loss or data set.
CONTEXT = {
    "raml": "recipe=raml/cub",
    "pp": "recipe=pp/cub_resnet50",
    "roadmap": "recipe=roadmap/sop",
    "pss": "recipe=pss/inat",
    "smooth_ap": "recipe=smooth_ap/inat",
    "suprank": "recipe=suprank/sop",
    "happier": "recipe=happier/inat_base",
}


def rows(page: Path) -> list[str]:
    """What stands in code in the last cell of each row of a page's tables."""
    cells = re.findall(r"^\|.*\| (.*) \|$", page.read_text(), re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"^`([^`]+)`", cell)]


def small(words: list[str]) -> list[str]:
    """The overrides that make a recipe small enough for a test; all else stays as published."""
    config = compose(words)
    fewer = ["epochs=1", "workers=0", "device=cpu", "batch_size=8", "evaluation.batch_size=8"]
    fewer += ["model.pretrained=false", "model.weights=null"]
    if config.sampler["name"] == "hierarchical":
        fewer += ["sampler.batches=2"]
    if config.sampler["name"] == "grouped":
        fewer += ["sampler.negatives=2"]
    if config.teacher is not None:
        fewer += ["distillation.teacher_size=64", "distillation.views=2"]
    if config.update_every > 1:
        fewer += ["update_every=2"]
    if config.optimizer.freeze_epochs:
        fewer += ["optimizer.freeze_epochs=1", "epochs=2"]
    if "vit" in config.model.backbone or "deit" in config.model.backbone:
        fewer += ["model.options.embed_dim=96"]  # narrow; its size is that of the images
    else:
        fewer += ["transform.size=32"]
    return fewer


@pytest.fixture(scope="module")
def data_root(tmp_path_factory) -> Path:
    return miniatures.make(tmp_path_factory.mktemp("data"), DATA)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_runs(page, data_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen: list[str] = []
    for command in (c for c in rows(page) if c.startswith("lookalike")):
        verb, *words = shlex.split(command)[1:]
        if verb == "train" and "--resume" not in words:
            run = [] if any(word.startswith("run=") for word in words) else ["run=RUN"]
            extra = [*small(words), *run, f"data_root={data_root}"]
            folder = train.run([*words, *extra], overwrite=True, quiet=True)
            seen += [word for word in words if word.startswith("recipe=")]
            learned(folder)
        elif verb == "train":
            with pytest.raises(RunError, match="is finished"):
                train.run([word for word in words if word != "--resume"], resume=True, quiet=True)
        elif verb == "sweep":
            options = [word for word in words if "=" in word]
            space = next(w for w in words if "=" not in w and not w.startswith("-"))
            extra = [*small(options), f"data_root={data_root}"]
            pruner = words[words.index("--pruner") + 1]
            sweep.run([space, *options, *extra], trials=2, out=Path("sweep"), pruner=pruner)
            trials = [*Path("sweep").glob("trial-*")]
            assert len(trials) == 2
            for trial in trials:
                learned(trial)
        elif verb == "discover":
            extra = [*small(words), f"run={page.stem}", f"data_root={data_root}"]
            extra += ["discover.rounds=1", "discover.lander.epochs=1", "discover.lander.hidden=8"]
            folder = discover.run([*words, *extra], overwrite=True, quiet=True)
            seen += [word for word in words if word.startswith("recipe=")]
            assert (folder / "round-1" / "report.html").is_file()
        else:
            query = next((data_root / "CUB_200_2011/images").rglob("*.jpg"))
            here = {"QUERY": str(query), "data_root=DATA": f"data_root={data_root}"}
            given = [here.get(word, word) for word in words]
            given += [f"data_root={data_root}"] if verb == "evaluate" else []
            done = CliRunner().invoke(app, [verb, *given])
            assert done.exit_code == 0, f"{command}: {done.exception}"
    mine = [f"recipe={r}" for r in RECIPES if r.startswith(f"{page.stem}/")]
    rows_of_own = {word for word in seen if word.startswith(f"recipe={page.stem}/")}
    assert rows_of_own == set(mine), "a recipe without a row, or a row without a recipe"


def learned(folder: Path) -> None:
    """A run's rows: a step was made, and everything the recipe wants measured was."""
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    measured = [entry for entry in entries if entry["kind"] == "evaluation"]
    assert measured and all(entry["values"] for entry in measured)
    assert (folder / "model").is_dir() and (folder / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_option_of_a_page_is_one(page):
    for code in rows(page):
        if not code.startswith("lookalike"):
            compose([CONTEXT[page.stem], *shlex.split(code)])


def test_every_recipe_has_a_page():
    pages = {page.stem for page in PAGES}
    assert {recipe.partition("/")[0] for recipe in set(RECIPES) - set(OWN)} <= pages
    training = (DOCS / "training.md").read_text()
    assert [recipe for recipe in OWN if f"{recipe}`" not in training] == []
