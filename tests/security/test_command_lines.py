"""Wrong command lines end in a sentence and a code, never in a traceback; none hangs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lookalike import cli
from lookalike.compose import compose, from_yaml, to_yaml
from lookalike.errors import ConfigError, DataError
from lookalike.sweep.space import read_space

LONG = "x" * 5000


@pytest.fixture
def said(monkeypatch, capsys, tmp_path):
    """Run a command line as the program does: its code, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.err + printed.out

    return run


@pytest.mark.parametrize(
    "words",
    [
        ["data", "cache", "~nouser/x", "--out", "cc"], ["data", "check", "~nouser/x"],
        ["discover", "dataset=~nouser/x"], ["discover", f"dataset={LONG}"],
        ["evaluate", LONG], ["evaluate", "~nouser/x"], ["index", "build", LONG, ".", "--out", "o"],
        ["matrix", "~nouser/x", "run1"], ["publish", LONG, "--to", "p"], ["search", LONG, "q.jpg"],
        ["train", "dataset=~nouser/x", "epochs=1"], ["compare", LONG, "b"],
        ["embed", "m", LONG, "--out", "e.npy"],
        ["search", "loop", "q.jpg"], ["index", "info", "loop"], ["data", "check", "/"],
        ["data", "cache", "/", "--out", "o"], ["discover", "dataset=/"],
        ["config", "workers=99999999999"], ["config", "batch_size=-1"],
        ["config", "model.embedding_size=1000000"],
        ["config", "evaluation.k=[" + "[" * 3000], ["config", "dataset=a\0b"],
        ["sweep", "deep.yaml"],
        ["index", "build", "r", "p", "--out", "o", "--workers", "99999999999"],
        ["index", "build", "r", "p", "--out", "o", "--batch-size", "99999999999"],
        ["search", "ix", "q", "--trust", "not a module"],
    ],
    ids=lambda words: " ".join(words)[:40],
)  # fmt: skip
def test_a_wrong_command_line_is_a_sentence(said, tmp_path, words):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "deep.yaml").write_text("[" * 20_000)
    code, text = said(*words)
    assert code in (1, 2), text
    assert "Traceback" not in text and len(text) < 8000


def test_the_whole_file_system_is_no_folder_of_images(said, trained, tmp_path):
    code, text = said("index", "build", trained, "/", "--out", tmp_path / "ix")
    assert code == 1 and "the whole file system" in text
    assert not (tmp_path / "ix").exists()


def test_a_table_with_a_zero_byte_in_a_path(said, tmp_path):
    (tmp_path / "nul.csv").write_bytes(b"path,label\na\0b.jpg,fox\nc.jpg,owl\n")
    code, text = said("data", "check", "nul.csv")
    assert code == 1 and "Traceback" not in text


@pytest.mark.parametrize("option", ["workers", "batch_size", "evaluation.batch_size", "epochs"])
def test_ranges_hold_for_what_is_typed_and_for_what_is_read(option):
    with pytest.raises(ConfigError, match=f"{option}=99999999999: must be at most"):
        compose([f"{option}=99999999999"])
    content = yaml.safe_load(to_yaml(compose()))
    node = content
    for part in option.split(".")[:-1]:
        node = node[part]
    node[option.rpartition(".")[2]] = 99999999999
    with pytest.raises(ConfigError, match="must be at most"):
        from_yaml(yaml.safe_dump(content))


@pytest.mark.parametrize(
    "content", ["[" * 9000, "a: !!python/name:os.system", "lr: &a 1\nb: *a", "- 1"]
)
def test_a_search_space_that_cannot_be(tmp_path, content):
    (tmp_path / "space.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"space\.yaml"):
        read_space(str(tmp_path / "space.yaml"))


@pytest.mark.skipif(os.name != "posix", reason="names that are not text")
def test_odd_names_of_files_in_a_folder_that_is_indexed(given_index, photos, tmp_path, said):
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    image = next(folder.rglob("*.png"))
    shutil.copy(image, os.fsdecode(os.fsencode(folder) + b"/class0/\xff\xfe.png"))
    index = shutil.copytree(given_index, tmp_path / "ix")
    from lookalike.jobs.index_changes import add

    assert len(add(index, str(folder), workers=0)) > 24


@pytest.mark.slow
def test_the_program_itself_says_so_too(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "lookalike", "evaluate", "~nouser/x"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 1
    assert found.stderr.startswith("error: ") and "no user of that name" in found.stderr
    assert DataError.exit_code == 1
