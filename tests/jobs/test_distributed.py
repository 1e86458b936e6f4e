"""Two processes with b images each train what one process with 2·b trains."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lookalike import distributed
from lookalike.errors import ConfigError
from lookalike.jobs import train
from lookalike.runs import Run

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
TRAIN = ["-m", "lookalike", "train"]

# One of two processes dies in its eighth step, once.
DYING = """
import os, signal, sys
from lookalike.jobs import train
from lookalike.training import trainer as training
step, count = training.SupervisedStep.backward, 0
def dying(self, batch):
    global count
    count += 1
    doomed = os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if doomed and count == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, batch)
training.SupervisedStep.backward = dying
train.run(sys.argv[1:], quiet=True)
"""


def torchrun(*words: str) -> None:
    done = subprocess.run(
        [*TORCHRUN, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]


def losses(run: Run) -> list[float]:
    return [row["loss"] for row in run.history() if row["kind"] == "train"]


def parts(run: Run) -> dict:
    return torch.load(run.checkpoints / "last.pt", weights_only=True)["parts"]


CASES = {
    "frozen": ["loss=smooth_ap", "model.freeze_batch_norm=true"],
    "synchronised": ["loss=proxy_anchor", "sync_batch_norm=true"],
    "micro_batches": [
        "loss=proxy_anchor", "model.freeze_batch_norm=true", "micro_batch=3", "update_every=2",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def by_two(toy, tmp_path_factory):
    """The words of each case, and the folder of its run by two processes, which start once."""
    home = tmp_path_factory.mktemp("two")
    words = {n: [*toy, *more, "epochs=2", "optimizer.lr=1e-3"] for n, more in CASES.items()}
    given = [[*some, f"run={home / name}"] for name, some in words.items()]
    program = home / "all.py"
    program.write_text(
        f"from lookalike.jobs import train\nfor words in {given!r}:\n"
        "    train.run(words, quiet=True)\n"
    )
    torchrun(str(program))
    return words, home


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_gloo_processes_train_as_one(by_two, tmp_path, case):
    words, home = by_two
    alone = Run(train.run([*words[case], f"run={tmp_path / 'alone'}"], quiet=True))
    two = Run(home / case)
    assert two.read_manifest()["status"] == "finished"
    assert losses(two) == pytest.approx(losses(alone), rel=1e-5)
    one, other = parts(alone), parts(two)
    for part in ("model", "loss"):
        for key, value in one[part].items():
            torch.testing.assert_close(other[part][key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.slow
def test_a_sharded_network_trains_as_a_whole_one_and_resumes(toy, tmp_path):
    options = [*toy, "loss=proxy_anchor", "model.freeze_batch_norm=true", "optimizer.lr=1e-3"]
    options += ["optimizer.clip_norm=1.0", "epochs=2"]
    alone = Run(train.run([*options, f"run={tmp_path / 'alone'}"], quiet=True))
    program = tmp_path / "dying.py"
    program.write_text(DYING)
    words = [*options, "fsdp=true", "checkpoint.steps=3", f"run={tmp_path / 'two'}"]
    torchrun("--max-restarts", "1", str(program), *words)
    two = Run(tmp_path / "two")
    assert losses(two) == pytest.approx(losses(alone), rel=1e-5)
    one, other = parts(alone), parts(two)
    for part in ("model", "loss"):
        for key, value in one[part].items():
            torch.testing.assert_close(other[part][key], value, rtol=1e-4, atol=1e-5, msg=key)
    moments = other["optimizer"]["network"]["state"]["head.weight"]
    own = one["optimizer"]["network"]["state"]
    assert any(
        m["exp_avg"].shape == moments["exp_avg"].shape
        and torch.allclose(m["exp_avg"], moments["exp_avg"], rtol=1e-3, atol=1e-5)
        for m in own.values()
    )


def test_processes_agree_on_a_name_that_no_earlier_attempt_had():
    """Also where the store still holds the words of the dead, and ranks come in any order."""
    store = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    names = []
    for order in [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)]:
        with ThreadPoolExecutor(4) as pool:
            asked = []
            for number in order:
                asked.append(pool.submit(distributed.agree, store, number, 4))
                time.sleep(0.03)
            answers = {one.result(timeout=30) for one in asked}
        assert len(answers) == 1
        names += answers
    assert len(set(names)) == 3


@pytest.mark.parametrize("more", [[], ["average.name=ema"]])
def test_shards_need_processes(toy, tmp_path, more):
    with pytest.raises(ConfigError, match="fsdp"):
        train.run([*toy, "fsdp=true", *more, f"run={tmp_path / 'x'}"])


@pytest.mark.slow
def test_a_rank_killed_and_restarted_by_torchrun_ends_as_if_nothing_had_been(toy, tmp_path):
    program = tmp_path / "dying.py"
    program.write_text(DYING)
    options = [*toy, "loss=proxy_anchor", "average.name=ema", "checkpoint.steps=2"]
    torchrun(*TRAIN, *options, f"run={tmp_path / 'unbroken'}")
    torchrun("--max-restarts", "1", str(program), *options, f"run={tmp_path / 'broken'}")
    unbroken, broken = Run(tmp_path / "unbroken"), Run(tmp_path / "broken")
    assert broken.read_manifest()["status"] == "finished"
    one, other = parts(unbroken), parts(broken)
    for part in ("model", "loss", "average"):
        for key, value in one[part].items():
            assert torch.equal(other[part][key], value), key
    assert losses(broken) == losses(unbroken)


def test_a_restart_needs_the_folders_name(toy, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    with pytest.raises(ConfigError, match="run=runs/x"):
        train.run(toy)
