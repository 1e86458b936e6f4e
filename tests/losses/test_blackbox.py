"""BlackboxAP and BlackboxRecall against the originals' numbers and a sort."""

import numpy as np
import pytest
import torch
from golden_files import assert_close, cases, load, value_and_gradient

from lookalike.errors import LookalikeError
from lookalike.losses import BlackboxAP, BlackboxRecall
from lookalike.ops.blackbox_rows import BlackboxRows
from lookalike.ops.positives import RowPositives
from lookalike.ops.row_losses import row_losses_of_scores


class FromMask:
    """Positives of a ready ``(B, M)`` relevance matrix, which no labels describe."""

    self_role = "positive"
    levels = 1

    def __init__(self, mask):
        self.mask = mask.bool()

    def leave_out_(self, scores, start):
        pass

    def left(self, scores, start):
        return scores.new_full((len(scores), 1), scores.shape[1])

    def rows(self, start, stop):
        mask = self.mask[start:stop]
        width = int(mask.sum(1).max())
        order = (~mask).sort(dim=1, stable=True).indices[:, :width]
        kept = mask.gather(1, order)
        count = kept.sum(dim=1)
        index = torch.where(kept, order, order[:, :1])
        return RowPositives(index, kept, kept.long(), count, count.numpy())


@pytest.mark.parametrize("path", ["suprank/roadmap_blackboxap", "suprank/suprank_blackboxap"])
def test_blackbox_ap_is_roadmap_and_suprank(path):
    for _, case in cases(path):
        loss = BlackboxAP(
            float(case["hp_lambda_val"]),
            float(case["hp_margin"]),
            level=int(case.get("level", 0)),
            normalize=False,
        )
        loss.noise = lambda *_, case=case: torch.tensor(case["noise_randn"]).abs()
        value, gradient = value_and_gradient(loss, case)
        assert_close(value, case["loss"], 0, atol=1e-6)
        assert_close(gradient, case["grad_embeddings"], 1e-6, atol=1e-14)


def on_scores(scores, mask, rows, weights):
    scores = torch.tensor(scores, requires_grad=True)
    value = row_losses_of_scores(scores, rows, weights)
    value.backward()
    return value.item(), scores.grad.numpy()


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("coefficient", [0.0, 0.3])
def test_blackbox_ap_is_the_original_on_score_matrices(number, coefficient):
    case = load(f"smoothap/bbap_{number}_coef{coefficient}")
    parts = []
    for transform, noise in ((np.transpose, "noise_class"), (np.ravel, "noise_flat")):
        # One row a class, then all scores as one row; the mean over rows that have a positive.
        scores = np.atleast_2d(transform(case["scores"]))
        mask = torch.tensor(np.atleast_2d(transform(case["targets"])))
        rows = BlackboxRows(
            FromMask(mask),
            float(case["lambda_val"]),
            float(case["margin"]),
            torch.tensor(case[noise]).abs(),
            BlackboxAP._loss,
        )
        exists = mask.any(1).double()
        share = coefficient if noise == "noise_flat" else 1 - coefficient
        parts.append(on_scores(scores.copy(), mask, rows, share * exists / exists.sum()))
    (by_class, gradient), (flat, flat_gradient) = parts
    assert_close(by_class + flat, case["loss"], 0, atol=1e-9)
    if coefficient == 0:
        flat_gradient = np.zeros_like(flat_gradient)
    total = gradient.T + flat_gradient.reshape(case["grad"].shape)
    assert_close(total, case["grad"], 0, atol=1e-9)


def test_blackbox_ap_is_the_original_with_a_stored_batch():
    """Each class ranks this batch and the one before it, which is a constant."""
    case = load("smoothap/bbap_memory")
    share = float(case["interclass_coef"])
    size = len(case["scores"])
    by_class = [
        np.concatenate([case[k], case[m]]).T
        for k, m in (("scores", "batch1"), ("targets", "target1"))
    ]
    flat = [case[k].reshape(1, -1) for k in ("scores", "targets")]
    value, total = 0.0, np.zeros_like(case["grad"])
    for (scores, targets), part in ((by_class, 1 - share), (flat, share)):
        mask = torch.tensor(targets)
        rows = BlackboxRows(
            FromMask(mask),
            float(case["lambda_val"]),
            float(case["margin"]),
            None,
            BlackboxAP._loss,
        )
        exists = mask.any(1).double()
        one, gradient = on_scores(scores, mask, rows, part * exists / exists.sum())
        value += one
        total += gradient.T[:size] if len(gradient) > 1 else gradient.reshape(total.shape)
    assert_close(value, case["loss"], 0, atol=1e-9)
    assert_close(total, case["grad"], 0, atol=1e-9)


@pytest.mark.parametrize("lambda_", [0.1, 1.0, 10.0])
def test_the_ranker_is_the_original(lambda_):
    """A linear function of the normalised ranks of all items, whose gradient is given."""
    case = load("smoothap/bb_ranker")
    scores = case["scores"]
    upstream, ranks = torch.tensor(case["upstream"]), []

    def linear(rank, among, mask, items):
        ranks.append((rank / items).detach())
        return (upstream * rank / items).sum(1)

    everything = torch.ones(scores.shape)
    rows = BlackboxRows(FromMask(everything), lambda_, 0.0, None, linear)
    value, gradient = on_scores(scores, everything, rows, torch.ones(len(scores)).double())
    assert_close(ranks[0].numpy(), case["rank_norm"], 0, atol=1e-12)
    assert_close(value, (case["upstream"] * case["rank_norm"]).sum(), 0, atol=1e-9)
    assert_close(gradient, case[f"grad_lambda_{lambda_}"], 0, atol=1e-9)


@pytest.mark.parametrize("name", ["0_log1p", "1_loglog", "2_identity", "3_log1p"])
def test_blackbox_recall_is_the_original_on_score_matrices(name):
    case = load(f"smoothap/bbrecall_{name}")
    mask = torch.tensor(case["rel"])
    loss = BlackboxRecall(float(case["lambda_val"]), float(case["margin"]), name.split("_")[1])
    rows = loss.rows_of(FromMask(mask), len(mask))
    weights = torch.ones(len(mask), dtype=torch.float64) / mask.sum()
    value, gradient = on_scores(case["scores"], mask, rows, weights)
    assert_close(value, case["loss"], 0, atol=1e-9)
    assert_close(gradient, case["grad"], 0, atol=1e-9)


@pytest.mark.parametrize("number", range(3))
def test_blackbox_losses_are_the_originals_on_embeddings(number):
    case = load(f"smoothap/bbrecall_emb_{number}")
    loss = BlackboxRecall(
        float(case["lambda_val"]), float(case["margin"]), include_self=False, normalize=False
    )
    value, gradient = value_and_gradient(loss, case, "x")
    assert_close(value, case["loss"], 0, atol=1e-9)
    assert_close(gradient, case["grad"], 0, atol=1e-9)
    case = load(f"smoothap/bbap_emb_{number}")
    loss = BlackboxAP(
        float(case["lambda_val"]), float(case["margin"]), include_self=False, normalize=False
    )
    value, gradient = value_and_gradient(loss, case, "x")
    assert_close(value, case["loss"], 0, atol=1e-9)
    assert_close(gradient, case["grad"], 0, atol=1e-9)


@pytest.mark.parametrize("include_self", [True, False])
def test_the_order_of_the_batch_and_ties_change_nothing(include_self):
    torch.manual_seed(0)
    x = torch.randn(14, 3, dtype=torch.float64).round()  # many equal scores
    y = torch.tensor([0] * 6 + [1] * 4 + [2] * 3 + [3])
    order = torch.randperm(14)
    for loss in (
        BlackboxAP(margin=0, include_self=include_self, normalize=False),
        BlackboxRecall(4.0, 0.0, include_self=include_self, normalize=False),
    ):
        a, b = x.clone().requires_grad_(), x[order].clone().requires_grad_()
        loss(a, y).backward()
        loss(b, y[order]).backward()
        torch.testing.assert_close(a.grad[order], b.grad)
        loss.chunk_size = 5
        torch.testing.assert_close(loss(x, y), loss(x[order], y[order]))


def test_what_cannot_be_is_refused():
    with pytest.raises(LookalikeError, match="Did you mean 'log1p'"):
        BlackboxRecall(1.0, 0.0, weight="logp")
    with pytest.raises(LookalikeError, match="lambda_=0"):
        BlackboxAP(lambda_=0)
