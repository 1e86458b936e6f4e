"""The Dockerfile against what the documentation says and the command line knows."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib
from pathlib import Path

import typer.main

from lookalike.cli import app

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "serve.md").read_text() + (ROOT / "docs" / "search.md").read_text()


def steps(word: str) -> list[str]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line[len(word) :].strip() for line in lines if line.startswith(f"{word} ")]


def test_it_installs_what_the_documentation_says():
    said = set(re.findall(r"pip install 'lookalike\[(serve|export)\]'", DOCS))
    (installed,) = re.findall(r"pip install --no-cache-dir '\.\[(.*)\]'", " ".join(steps("RUN")))
    assert set(installed.split(",")) == said == {"serve", "export"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert said <= set(project["optional-dependencies"])
    (image,) = steps("FROM")
    assert f">={re.findall(r'python:(3[.][0-9]+)', image)[0]}" == project["requires-python"]


def test_it_serves_as_the_command_line_and_the_documentation_say(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: True)  # in the container
    program, verb, index, *options = json.loads(steps("ENTRYPOINT")[0])
    serve = typer.main.get_command(app).commands[verb]
    given = serve.make_context(verb, [index, *options]).params
    assert program == "lookalike"
    assert steps("EXPOSE") == [str(given["port"])]
    readme = (ROOT / "README.md").read_text()
    commands = re.compile(r"^docker .*$", re.MULTILINE)
    assert commands.findall(readme) == commands.findall(DOCS)
    (said,) = re.findall(r"^docker run (.*)$", DOCS, re.MULTILINE)
    words = shlex.split(said)
    assert words[words.index("-p") + 1] == f"{given['port']}:{given['port']}"
    token = next(p for p in serve.params if p.name == "token")
    assert words[words.index("-e") + 1].startswith(f"{token.envvar}=")
    mounts = [words[i + 1] for i, word in enumerate(words) if word == "-v"]
    assert str(given["index"]) in [mount.split(":")[1] for mount in mounts]


def test_what_it_copies_is_what_the_package_is_made_of():
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "src", project["project"]["readme"]}
    needed |= {str(name) for name in project["project"]["license-files"]}
    for name in needed:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in kept), name
