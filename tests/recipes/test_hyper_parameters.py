"""Numbers of a recipe are the original's, and every number of a row of the pages is in ours.

``tests/golden/hyper_parameters.yaml`` holds what the originals' command lines resolve to, and says
which of its entries were not traced to them.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lookalike import components
from lookalike.compose import choices, compose
from lookalike.config import Config

ROOT = Path(__file__).parents[2]
TABLE = yaml.safe_load((ROOT / "tests/golden/hyper_parameters.yaml").read_text())
RECIPES = [name for name in TABLE if "/" in name]
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w])")
FILE = re.compile(r"[\w./-]+\.(?:pth|pkl|txt|py|sh|parquet|ckpt)")


def plain(value: Any) -> Any:
    """Numbers as numbers: YAML reads ``1e-5`` as a word."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def composed(recipe: str, *words: str) -> Config:
    student = recipe.startswith("raml/") and "teacher" not in recipe
    return compose([f"recipe={recipe}", *words, *(["teacher=resnet50.tv_in1k"] * student)])


def option(config: Config, path: str) -> Any:
    """An option as it works: of a component also what it does where nothing is said."""
    group, *names = path.split(".")
    value = getattr(config, group)
    if isinstance(value, dict) and names[0] not in value:
        known, _ = components.parameters(components.find(group, value["name"]))
        return known[names[0]].default if names[0] in known else "absent"
    for name in names:
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


def working(config: Config, key: str, group: str) -> float:
    """Rate, weight decay or last rate of a group; what it does not say is the optimiser's."""
    o = config.optimizer
    own = getattr(o, group, None)
    rate = own.lr if own and own.lr is not None else o.lr
    if key == "rate":
        return rate
    if key == "floor":
        ratio = own.min_lr_ratio if own and own.min_lr_ratio is not None else o.min_lr_ratio
        return rate * ratio
    return own.weight_decay if own and own.weight_decay is not None else o.weight_decay


def found(config: Config, key: str, wanted: Any) -> Any:
    c = config
    if key in ("rate", "decay", "floor"):
        return {group: working(c, key, group) for group in wanted}
    if key == "model":
        backbone = c.model.backbone.removesuffix(".tv_in1k")
        return [backbone, c.model.pool, c.model.embedding_size]
    if key == "optimizer":
        return c.optimizer.name
    if key == "sizes":
        size, after = c.transform.size, c.transform.evaluation
        cut = None if after.get("crop") is False else size * 8 // 7
        return [size, c.transform.train.get("resize"), after.get("resize", cut)]
    if key == "later":
        later = compose([f"recipe={wanted['recipe']}", *c.discover.finetune])
        return {"recipe": wanted["recipe"]} | {
            name: option(later, name) for name in wanted if name != "recipe"
        }
    return c.discover.rounds if key == "rounds" else option(c, key)


def test_every_recipe_has_its_numbers():
    published = {r for r in choices("recipe") if "/" in r and not r.startswith("photos/")}
    assert published == set(RECIPES)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_numbers_of_a_recipe_are_the_originals(recipe):
    config, apart = composed(recipe), {}
    for key, value in TABLE[recipe].items():
        wanted = plain(value)
        if key == "later":
            wanted["recipe"] = recipe
        ours = plain(found(config, key, wanted))
        same = wanted == (pytest.approx(ours, rel=1e-12) if key == "floor" else ours)
        if not same:
            apart[key] = f"theirs {wanted}, ours {ours}"
    assert not apart


# ── the pages ───────────────────────────────────────────────────────────────────────────────────

# Numbers of theirs that are no setting of ours, each with the reason.
FREE = {
    "--class_num 948": "counted from the data",
    "--infrequent_eval 1": "a switch: every five epochs",
    "--whitening 0": "null: no projection",
    "--fc_lr_mul 0": "no head at all",
}


def numbers(text: str) -> set[float]:
    return {float(n) for n in NUMBER.findall(FILE.sub("", re.sub(r"lam-\d", "", text)))}


def rows(page: Path):
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and len(cells) == 2:
            yield tuple(" ".join(re.findall(r"`([^`]*)`", cell)) for cell in cells)


def of_config(node: Any) -> set[float]:
    if dataclasses.is_dataclass(node):
        node = {f.name: getattr(node, f.name) for f in dataclasses.fields(node)}
    if isinstance(node, dict):
        return set().union(*map(of_config, node.values())) if node else set()
    if isinstance(node, list):
        return set().union(*map(of_config, node)) if node else set()
    return {float(node)} if isinstance(node, int | float) and not isinstance(node, bool) else set()


# Pages of libraries, whose rows are Python: tests/losses/test_from_the_peer.py runs them.
LIBRARIES = ("pytorch_metric_learning", "open_metric_learning")
PAGES = [p for p in sorted((ROOT / "docs/from").glob("*.md")) if p.stem not in LIBRARIES]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_row_of_a_page_loses_no_number(page):
    """What theirs sets to a number, ours sets to the same: in its words, or in its recipe."""
    lost = {}
    for theirs, ours in rows(page):
        for words in FREE:
            theirs = theirs.replace(words, "")
        held = numbers(ours)
        if name := re.search(r"recipe=(\w+/\w+)", ours):
            config = composed(name[1])
            held |= of_config(config)
            width = {"vit_base_patch16_224.dino": 768.0}.get(config.model.backbone)
            held |= {width} if width else set()
        settings = re.findall(r"(?:--?[a-z][\w-]*[ =]|[\w.]+=)([\d.e,\[\] -]+)", theirs)
        if missing := set().union(*map(numbers, settings), set()) - held - multiplier(theirs):
            lost[theirs] = missing
    assert not lost


def multiplier(theirs: str) -> set[float]:
    """A factor beside a rate is in the rate that we write: ``--fc_lr_mul 1``."""
    return set() if not (m := re.search(r"--fc_lr_mul (\d+)", theirs)) else {float(m[1])}
