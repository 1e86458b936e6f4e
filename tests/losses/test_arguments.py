"""Settings out of their range, and batches in any container."""

import numpy as np
import pandas as pd
import pytest
import torch

from lookalike import losses
from lookalike.data import samplers
from lookalike.errors import ConfigError, LookalikeError
from lookalike.losses.class_vectors import ProxyLoss

SIZES = {"num_classes": 6, "embedding_size": 8}
OUT_OF_RANGE = [
    ("ArcFace", {"margin": 28.6}, r"in radians. Degrees.* so: margin=0.4992"),
    ("ArcFace", {"margin": -0.1}, "margin=-0.1, must be at least 0"),
    ("ArcFace", {"scale": 0}, "scale=0, must be > 0"),
    ("ArcFace", {"label_smoothing": 2}, "must be in 0 to 1"),
    ("AdditiveMarginSoftmax", {"margin": 20}, "in 0 to 2. It is in cosines, not degrees"),
    ("NormSoftmax", {"temperature": 0}, "temperature=0, must be > 0"),
    ("NormSoftmax", {"temperature": -0.1}, "must be > 0"),
    ("NormSoftmax", {"temperature": float("nan")}, "must be > 0"),
    ("NormSoftmax", {"centers": 0}, "must be at least 1"),
    ("ProxyAnchor", {"margin": -0.1}, "must be in 0 to 2"),
    ("ProxyAnchor", {"scale": -32}, "must be > 0"),
    ("PositiveProxy", {"scale": 0}, "must be > 0"),
    ("ProxyNCA", {"scale": 0}, "must be > 0"),
    ("Triplet", {"margin": -0.1}, "must be at least 0"),
    ("Contrastive", {"margin": -1}, "must be at least 0"),
    ("PairContrastive", {"margin": 28}, "compared with cosines"),
    ("Calibration", {"neg_margin": 60}, "compared with cosines"),
    ("MultiSimilarity", {"alpha": -2}, "must be > 0"),
    ("MultiSimilarity", {"epsilon": -0.1}, "must be at least 0"),
    ("SmoothAP", {"tau": "small"}, "tau='small' is not a number"),
    ("BlackboxAP", {"margin": -1}, "must be at least 0"),
]


def made(name, given):
    sizes = SIZES if issubclass(getattr(losses, name), ProxyLoss) else {}
    return getattr(losses, name)(**sizes, **given)


@pytest.mark.parametrize(("name", "given", "message"), OUT_OF_RANGE, ids=str)
def test_a_setting_out_of_its_range_is_refused(name, given, message):
    with pytest.raises(ConfigError, match=message):
        made(name, given)


def test_degrees_written_as_radians_are_the_margin_of_the_peer():
    from pytorch_metric_learning.losses import ArcFaceLoss

    theirs = ArcFaceLoss(6, 8, margin=28.6, scale=64).double()
    ours = losses.ArcFace(6, 8, margin=0.4992, scale=64).double()
    ours.proxies.data.copy_(theirs.W.data.T)
    x, y = torch.randn(9, 8, dtype=torch.float64), torch.arange(9) % 6
    assert ours(x, y).item() == pytest.approx(theirs(x, y).item(), rel=1e-3)


X = torch.nn.functional.normalize(torch.arange(48.0).view(6, 8).sin(), dim=1)
CODES = [2, 0, 2, 1, 0, 1]
WORDS = ["fox", "ant", "fox", "bee", "ant", "bee"]
CONTAINERS = {
    "list": (X.tolist(), CODES),
    "numpy": (X.numpy(), np.array(CODES)),
    "list of tensors": (list(X), torch.tensor(CODES)),
    "series": (X, pd.Series(CODES)),
    "strings": (X, WORDS),
    "array of strings": (X.numpy(), np.array(WORDS)),
}
NAMES = ["SmoothAP", "MultiSimilarity", "Triplet", "ProxyAnchor", "CrossEntropy", "ROADMAP"]


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.cpu("lists and arrays lie on the CPU, and so must the loss")
@pytest.mark.parametrize("name", NAMES)
def test_batches_in_any_container(name, kind):
    torch.manual_seed(0)
    is_proxy = name in ("ProxyAnchor", "CrossEntropy")
    loss = getattr(losses, name)(**(SIZES if is_proxy else {}))
    x, labels = CONTAINERS[kind]
    if is_proxy and "strings" in kind:
        with pytest.raises(LookalikeError, match=r"strings.*numpy.unique\(labels"):
            loss(x, labels)
        return
    assert loss(x, labels).item() == pytest.approx(loss(X, torch.tensor(CODES)).item(), rel=1e-6)


def test_the_words_of_both_sides_are_one_code_book():
    loss, ref = losses.MultiSimilarity(), X[:3].clone()
    got = loss(X, WORDS, ref_emb=ref, ref_labels=["bee", "", "fox"])
    want = loss(X, torch.tensor(CODES), ref_emb=ref, ref_labels=torch.tensor([1, -1, 2]))
    assert got.item() == want.item()
    with pytest.raises(LookalikeError, match="must both be strings, or numbers"):
        loss(X, WORDS, ref_emb=ref, ref_labels=torch.tensor([1, -1, 2]))


@pytest.mark.parametrize(
    ("x", "labels", "message"),
    [
        ("abc", CODES, "embeddings must be a tensor"),
        ([["a"] * 8] * 6, CODES, "embeddings must be a tensor"),
        (X, [0.5] * 6, "row 0 is 0.5, not a whole number"),
        (X, "fox", "give one label a row"),
        (X, CODES[:4], r"labels must be \(6,\)"),
    ],
    ids=str,
)
def test_what_is_no_batch_is_refused_in_a_sentence(x, labels, message):
    for loss in (losses.SmoothAP(), losses.Triplet(), losses.NormSoftmax(**SIZES)):
        with pytest.raises(LookalikeError, match=message):
            loss(x, labels)


def test_a_memory_knows_classes_by_number():
    memory = losses.CrossBatchMemory(losses.MultiSimilarity(), 8)
    assert torch.isfinite(memory(X.numpy(), CODES))
    with pytest.raises(LookalikeError, match="the same in every batch"):
        memory(X, WORDS)


@pytest.mark.parametrize("kind", ["list", "numpy", "series", "strings", "array of strings"])
def test_samplers_take_labels_in_any_container(kind):
    def plan(labels):
        return list(samplers.MPerClassSampler(labels, m=2, batch_size=4))

    labels = CONTAINERS[kind][1]
    # Words are numbered by their order: ant, bee, fox.
    assert plan(labels) == plan(CODES)
    with pytest.raises(LookalikeError, match="row 0 is 0.5"):
        plan([0.5] * 6)
