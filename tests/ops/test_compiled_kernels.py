"""The kernels that torch.compile makes, against plain torch: in a process that asks for them."""

import subprocess
import sys

import pytest

CODE = """
import math, os, sys, torch
from lookalike.losses import SmoothAP, SupAP, SupHAP
from lookalike.ops import compiled_kernels, step_sums as kernels
from lookalike.ops.steps import SoftStep
os.environ["LOOKALIKE_NATIVE"] = "0"
torch.manual_seed(0)
for step in (SoftStep(0.1), SoftStep(0.02), SoftStep.upper_bound(0.1, 100.0, 0.05, 0.5, 1.44)):
    for queries, width, depth in ((5, 17, 3), (4, 1500, 6), (2, 1024, 40)):
        scores, pivots = torch.randn(queries, width) * 0.3, torch.randn(queries, depth)
        weights = torch.randn(queries, depth)
        scores[0, 0], pivots[-1, -1], weights[-1, -1] = -math.inf, math.inf, 0
        exact = scores.double()
        sums = kernels.torch_sums(exact, pivots.double(), step)
        ours = compiled_kernels.step_sums(scores, pivots, step)
        torch.testing.assert_close(ours.double(), sums, rtol=2e-6, atol=1e-5)
        totals = kernels.torch_slopes_(exact, pivots.double(), weights.double(), step)
        ours = compiled_kernels.step_slopes_(scores, pivots, weights, step)
        torch.testing.assert_close(ours.double(), totals, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(scores.double(), exact, rtol=1e-5, atol=1e-4)

seen = []
for name in ("step_sums", "step_slopes_"):
    def spy(*given, real=getattr(compiled_kernels, name), name=name):
        seen.append(name)
        return real(*given)
    setattr(compiled_kernels, name, spy)
x = torch.randn(24, 8)
y = torch.stack([torch.arange(24) // 4, torch.arange(24) // 8], 1)
for loss in (SmoothAP(), SupAP(), SupAP(reduction="none", include_self=False), SupHAP()):
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    seen.clear()
    compiled = torch.compile(loss)
    compiled(one, y).sum().backward()
    assert set(seen) == {"step_sums", "step_slopes_"}, seen
    seen.clear()
    loss(two, y).sum().backward()
    assert not seen, "compiled without being asked"
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-6)
compiled = torch.compile(SupAP())
compiled(x.clone().requires_grad_(), y, ref_emb=x[:7], ref_labels=y[:7]).backward()
print("ok")
"""


@pytest.mark.slow
@pytest.mark.cpu("a process of its own")
def test_what_is_compiled_is_what_torch_computes():
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=900, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip() == "ok"
