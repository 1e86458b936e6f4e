"""Two gloo processes with b images each do what one process with 2·b does, for ten real steps."""

from __future__ import annotations

import os
import subprocess
import sys

import law_program
import pytest
import torch

from lookalike import losses

CASES = sorted(law_program.CASES)

pytestmark = pytest.mark.cpu("two gloo processes")


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> dict[str, dict]:
    """What two processes end with, by case; each rank must hold the same."""
    folder = tmp_path_factory.mktemp("law")
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*program, "--standalone", law_program.__file__, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ranks = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for case in CASES:
        for key, value in ranks[0][case].items():
            assert torch.equal(value, ranks[1][case][key]), f"{case}: the ranks differ in {key}"
    return ranks[0]


def test_every_public_loss_has_a_case():
    made = [make() for make, _ in law_program.CASES.values()]
    assert set(losses.__all__) <= {type(one).__name__ for one in made}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_where_one_does(two, case):
    one = law_program.train(case)
    found = two[case]
    assert one.keys() == found.keys()
    for key, value in one.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-6, msg=f"{case}: {key}")


@pytest.mark.slow
def test_the_comparison_can_fail():
    """Ten steps move every weight by far more than the tolerance."""
    for case in CASES:
        start, end = law_program.train(case, steps=0), law_program.train(case)
        for key, value in start.items():
            # A bias before a batch norm that subtracts the mean has no effect, and no gradient.
            idle = case == "sync_batch_norm" and key == "model.backbone.0.bias"
            if key.endswith(("weight", "bias", "proxies")) and not idle:
                moved = float((value - end[key]).abs().max())
                assert moved > 1e-5, f"{case}: {key} moved by {moved}"
