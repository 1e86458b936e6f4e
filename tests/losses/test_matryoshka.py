"""A loss over prefixes of the embedding."""

import pytest
import torch
from torch.nn import functional as F

from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses import CrossBatchMemory, MultiSimilarity, NormSoftmax, SmoothAP
from lookalike.losses.matryoshka import Prefix, matryoshka


@pytest.fixture
def batch():
    torch.manual_seed(0)
    x = F.normalize(torch.randn(12, 8, dtype=torch.float64)).requires_grad_()
    return x, torch.arange(12) // 3


def test_it_is_the_sum_over_the_prefixes(batch):
    x, labels = batch
    loss = matryoshka({2: SmoothAP(), 5: SmoothAP(), 8: SmoothAP()}, [1.0, 0.5, 2.0])
    parts = [SmoothAP()(F.normalize(x[:, :w]), labels) for w in (2, 5, 8)]
    torch.testing.assert_close(
        loss(x, labels), parts[0] + 0.5 * parts[1] + 2 * parts[2], rtol=1e-12, atol=0
    )
    loss(x, labels).backward()
    assert x.grad is not None and (x.grad.abs().sum(0) > 0).all()
    narrow = torch.autograd.grad(Prefix(SmoothAP(), 2)(x, labels), x)[0]
    assert (narrow[:, 2:] == 0).all() and (narrow[:, :2] != 0).any()


def test_references_are_cut_too(batch):
    x, labels = batch
    other = F.normalize(torch.randn(7, 8, dtype=torch.float64))
    other_labels = torch.arange(7) % 4
    got = Prefix(MultiSimilarity(), 3)(x, labels, ref_emb=other, ref_labels=other_labels)
    want = MultiSimilarity()(x[:, :3], labels, ref_emb=other[:, :3], ref_labels=other_labels)
    torch.testing.assert_close(got, want)
    # The batch as its own reference stays its own: no image is a pair with itself.
    got = Prefix(MultiSimilarity(), 3)(x, labels, ref_emb=x, ref_labels=labels)
    torch.testing.assert_close(got, MultiSimilarity()(x[:, :3], labels))


def test_each_width_has_proxies_and_memory_of_its_own(batch):
    x, labels = batch
    loss = matryoshka(
        {
            4: NormSoftmax(4, 4),
            8: CrossBatchMemory(SmoothAP(), embedding_size=8, memory_size=24),
        }
    )
    assert [tuple(p.shape) for p in loss.parameters()] == [(4, 4)]
    for _ in range(2):
        loss(x.float(), labels).backward()


def test_what_cannot_be_is_refused(batch):
    x, labels = batch
    with pytest.raises(ConfigError, match="at least one number"):
        Prefix(SmoothAP(), 0)
    with pytest.raises(ConfigError, match="the embeddings have 8 numbers"):
        Prefix(SmoothAP(), 9)(x, labels)
    with pytest.raises(LookalikeError, match="indices_tuple"):
        pairs = (torch.tensor([0]), torch.tensor([1]), torch.tensor([0]), torch.tensor([4]))
        matryoshka({2: SmoothAP()})(x, labels, pairs)
