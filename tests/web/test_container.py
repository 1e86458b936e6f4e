"""The Dockerfile against what the documentation says and the command line knows."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main

from lookalike.cli import app

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "serve.md").read_text() + (ROOT / "docs" / "search.md").read_text()


def steps(word: str) -> list[str]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [line[len(word) :].strip() for line in lines if line.startswith(f"{word} ")]


def test_it_installs_the_lock_of_an_exported_model_s_server_and_the_package_alone():
    (lock,) = re.findall(
        r"pip install --no-cache-dir --require-hashes -r (\S+)", " ".join(steps("RUN"))
    )
    assert (ROOT / lock).is_file() and f"COPY {lock} ." in (ROOT / "Dockerfile").read_text()
    assert "pip install --no-cache-dir --no-deps /wheels/*.whl" in steps("RUN")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for image in steps("FROM"):
        assert f">={re.findall(r'python:(3[.][0-9]+)', image)[0]}" == project["requires-python"]
    names = set(re.findall(r"^([a-z][\w.-]*)==", (ROOT / lock).read_text(), re.MULTILINE))
    assert {"fastapi", "onnxruntime", "faiss-cpu"} <= names
    assert not names & {"torch", "torchvision", "timm", "scikit-learn", "pandas", "hydra-core"}


@pytest.mark.parametrize("lock", ["requirements-run.lock", "requirements-serve.lock"])
def test_every_lock_pins_what_the_whole_one_pins(lock):
    """`make lock` writes them all; what is tested is what is served."""
    pin = re.compile(r"^([a-z][\w.-]*)==(\S+)", re.MULTILINE)
    whole = set(pin.findall((ROOT / "requirements.lock").read_text()))
    text = (ROOT / lock).read_text()
    assert set(pin.findall(text)) <= whole
    assert text.count("==") <= text.count("--hash=sha256:")


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
    needed = {"pyproject.toml", "src", "requirements-serve.lock", project["project"]["readme"]}
    needed |= {str(name) for name in project["project"]["license-files"]}
    for name in needed:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in kept), name
