"""Every verb that opens a stranger's folder, under a guard: nothing happens outside of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.jobs.conftest import TOY
from tests.security.conftest import edited

from lookalike.jobs import data

PROGRAM = Path(__file__).with_name("guarded.py")
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def guarded(verbs, allowed, elsewhere):
    """What the program says of each verb."""
    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(elsewhere),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    scratch = elsewhere / "tmp"  # lookalike's own, emptied by itself
    scratch.mkdir(parents=True, exist_ok=True)
    env["TMPDIR"] = str(scratch)
    allowed = [*allowed, scratch] if allowed else []
    asked = json.dumps({"allowed": [*map(str, allowed)], "verbs": [[*map(str, v)] for v in verbs]})
    found = subprocess.run(
        [sys.executable, str(PROGRAM), asked],
        cwd=elsewhere, env=env, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def verbs_on(run, other, index, cache, loop, photos, out):
    """Each verb that opens a folder of somebody's, on these."""
    image = next(photos.rglob("*.png"))
    plain = "workers=0"
    return [
        ["evaluate", run, plain],
        ["evaluate", run, "--gallery", other, plain],
        ["evaluate", run, f"dataset={cache}", "--split", "train", plain],
        ["embed", run, photos, "--out", out / "e.npy", plain],
        ["index", "build", run, photos, "--out", out / "ix", "--workers", "0"],
        ["search", index, image, "--sheet", out / "sheet.png"],
        ["serve", index],
        ["index", "info", index],
        ["index", "verify", index],
        ["index", "tune", index],
        ["index", "map", index, "--out", out / "map.html"],
        ["index", "audit", index, "--out", out / "audit.html"],
        ["index", "add", index, out / "more", "--workers", "0"],
        ["index", "update", index, "--workers", "0"],
        ["index", "remove", index, "#1"],
        ["publish", run, "--to", out / "published"],
        ["compare", run, other, "--out", out / "compared"],
        ["matrix", run, other, plain],
        ["export", run, "--pictures", photos, "--count", "20"],
        ["discover", "--resume", f"run={loop}", plain],
        [
            "sweep",
            loop / "space.yaml",
            *TOY,
            "epochs=1",
            "evaluation.select=test",
            "--trials",
            "1",
            "--out",
            loop / "sweep",
        ],
        ["data", "check", cache, plain],
        ["data", "cache", cache, "--out", out / "cached", "--workers", "1"],
    ]


@pytest.fixture
def sent(trained, given_index, photos, tmp_path, monkeypatch):
    """A folder that somebody sent, with one of each kind; and where the person's own things lie."""
    folder = tmp_path / "sent"
    for name in ("run", "other"):
        shutil.copytree(trained, folder / name)
    shutil.copytree(given_index, folder / "ix")
    data.cache(str(photos), out=folder / "cache")
    (folder / "loop").mkdir()
    shutil.copy(trained / "config.yaml", folder / "loop")
    (folder / "loop" / "words.json").write_text(json.dumps(["epochs=1"]))
    (folder / "loop" / "space.yaml").write_text("optimizer.lr: {low: 0.001, high: 0.01}\n")
    shutil.copytree(photos, tmp_path / "out" / "more")
    own = tmp_path / "me" / "Documents" / "taxes"
    own.mkdir(parents=True)
    (own / "2024.txt").write_text("mine")
    return folder


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_stranger_s_folders_in_good_order_do_their_work_and_no_more(
    sent, photos, tmp_path, elsewhere
):
    out, before = tmp_path / "out", listing(elsewhere / "Documents")
    verbs = verbs_on(
        sent / "run", sent / "other", sent / "ix", sent / "cache", sent / "loop", photos, out
    )
    # The user's own cache of drawn images is lookalike's, whatever a folder says.
    said = guarded(verbs, [sent, out, elsewhere / "cache", elsewhere / "config"], elsewhere)
    for one in said:
        assert one["found"] == [], one
    failed = {" ".join(one["verb"][:2]): one["text"] for one in said if one["code"]}
    assert not {name for name in failed if not name.startswith("discover")}, failed
    assert listing(elsewhere / "Documents") == before


def test_hostile_folders_reach_nothing(sent, photos, tmp_path, elsewhere):
    """Names of commands, links out of the folder, servers and places to write."""
    out, before = tmp_path / "out", listing(elsewhere / "Documents")
    for name in ("run", "other"):
        content = yaml.safe_load((sent / name / "config.yaml").read_text())
        content["dataset"] |= {"root": str(elsewhere / "Documents"), "cache": str(elsewhere)}
        content |= {"tracker": "wandb", "data_root": "${oc.env:HOME}"}
        (sent / name / "config.yaml").write_text(yaml.safe_dump(content))
    edited(
        sent / "other" / "model" / "model.json", lambda a: a["spec"].update(backbone="os.system")
    )
    for place in ("evaluation", "unfinished", "exported"):
        shutil.rmtree(sent / "run" / place, ignore_errors=True)
        (sent / "run" / place).symlink_to(elsewhere / "Documents")
    (sent / "loop" / "words.json").write_text(json.dumps(["loss=os.system"]))
    (sent / "loop" / "sweep").symlink_to(elsewhere / "Documents")
    generations = sent / "ix" / "generations"
    shutil.copytree(generations, elsewhere / "Documents" / "generations")
    before = listing(elsewhere / "Documents")
    shutil.rmtree(generations)
    generations.symlink_to(elsewhere / "Documents" / "generations")
    verbs = verbs_on(
        sent / "run", sent / "other", sent / "ix", sent / "cache", sent / "loop", photos, out
    )
    said = guarded(verbs, [sent, out, elsewhere / "cache", elsewhere / "config"], elsewhere)
    for one in said:
        assert one["found"] == [], one
    assert listing(elsewhere / "Documents") == before
    assert sum(bool(one["code"]) for one in said) > 12


def test_the_guard_sees_what_it_looks_for(tmp_path, elsewhere, photos):
    """Without what is allowed, the same verbs are trespasses."""
    elsewhere.mkdir(exist_ok=True)
    (tmp_path / "out").mkdir()
    (said,) = guarded(
        [["data", "cache", photos, "--out", tmp_path / "out" / "c", "--workers", "1"]],
        [],
        elsewhere,
    )
    assert any("os.mkdir" in one for one in said["found"])
    assert any("os.rename" in one for one in said["found"])
