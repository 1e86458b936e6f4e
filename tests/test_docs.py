"""The Python blocks of the README and the docs run, and what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    if page.stem != "python"  # its blocks belong together
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs(block, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    exec(compile(block, "block", "exec"), {})


@pytest.mark.slow
def test_the_page_from_python_runs_from_top_to_bottom(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    page = (REPOSITORY / "docs" / "python.md").read_text()
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "python.md", "exec"), names)
    assert len(names["losses"].seen) > 0 and len(names["hits"]) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_inside_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_tree_of_the_readme_is_the_tree_on_disk():
    tree = re.search(r"src/lookalike/\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert tree is not None
    named = set(re.findall(r"^  ([\w./]+)", tree[1], re.MULTILINE))
    package = REPOSITORY / "src" / "lookalike"
    there = {
        f"{p.name}/" if p.is_dir() else p.name
        for p in package.iterdir()
        if p.name[0] not in "_." and p.suffix in ("", ".py") and p.name != "py.typed"
    }
    assert named == there


def test_every_verb_of_the_readme_exists():
    from lookalike.cli import app

    verbs = {c.name or c.callback.__name__.rstrip("_") for c in app.registered_commands}
    verbs |= {group.name for group in app.registered_groups}
    words = re.findall(
        r"^lookalike ([a-z]+)", "\n".join(p.read_text() for p in PAGES), re.MULTILINE
    )
    words += re.findall(r"`lookalike ([a-z]+)", "\n".join(p.read_text() for p in PAGES))
    assert set(words) <= verbs
