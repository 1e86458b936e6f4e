"""What an error advises is tried: the options it names are set, and the refusal ends."""

import re

import pytest

from lookalike.compose import compose
from lookalike.errors import ConfigError
from lookalike.training.checks import check

# Words that are refused; the message says which others to write.
SET = [
    ["loss=cross_batch_memory"],
    ["loss=weighted_sum"],
    ["loss=asymmetric_distillation"],
    ["teacher=resnet18", "loss=smooth_ap", "distillation.mode=ts_reg"],
    ["epochs=0"],
    ["batch_size=0"],
    ["precision=fp8"],
    ["accumulate=median"],
    ["micro_batch=some"],
    ["model.embedding_size=0"],
    ["evaluation.ties=fair"],
    ["watch.every=-1"],
]
MISSPELT = [
    "loss=smoth_ap",
    "loss.tua=0.1",
    "sampler=m_per_clas",
    "sampler.mm=2",
    "optimizer.lrr=1",
    "optimizer.schedule=cosin",
    "evaluation.metrics=[recal_at_1]",
    "evaluation.monitor=map_at_rr",
    "transform.sise=64",
    "epoch=2",
    "distillation.mod=ts_aug",
]


def refusal(words):
    try:
        check(compose(words))
    except ConfigError as error:
        return str(error)
    return None


def advised(message):
    """The options that a message says to set: ``Set a=b``, ``a=b`` after a comma or "or"."""
    word = r"(?<![\w.])([a-z_]+(?:\.[a-z_]+)*=(?:\[[^\]]*\]|[^\s,;)]+[^\s,;.)]))"
    return [found.replace("RUN", "resnet18") for found in re.findall(word, message)]


def test_names_inside_a_loss_are_components_and_checked_before_data_is_read():
    assert refusal(["loss=cross_batch_memory", "loss.loss=multi_similarity"]) is None
    assert refusal(["loss=weighted_sum", "loss.losses=[smooth_ap,calibration]"]) is None
    assert refusal(["loss=weighted_sum", "loss.losses={a:smooth_ap,b:{name:calibration}}"]) is None
    assert refusal(["loss=roadmap", "loss.sup_ap=smooth_ap"]) is None
    said = refusal(["loss=cross_batch_memory", "loss.loss=multi_similarty"])
    assert said.startswith("loss.loss.name=multi_similarty: there is no such loss. Did you mean")
    said = refusal(["loss=weighted_sum", "loss.losses=[smooth_ap,calibratoin]"])
    assert said.startswith("loss.losses[1].name=calibratoin")
    assert "give a loss by name" in refusal(["loss=cross_batch_memory", "loss.loss=3"])


@pytest.mark.parametrize("words", SET, ids=" ".join)
def test_following_the_advice_ends_the_refusal(words):
    assert refusal(words) is not None
    assert ends(words, steps=3)


def ends(words, steps):
    """Whether following what the messages say ends in a run that is not refused."""
    said = refusal(words)
    if said is None or not steps:
        return said is None
    options = dict(word.split("=", 1) for word in words)
    advice = [word.split("=", 1) for word in advised(said) if word not in words]
    tried = [{**options, key: value} for key, value in advice]
    # Without an option to set, the message gives the values, or the least number there may be.
    key = said.partition("=")[0]
    values = re.findall(r"\bat least (\d+)|\b(null|mean|bf16|stable|auto)\b|: (never)", said)
    tried += [{**options, key: next(filter(None, v))} for v in values]
    tried = [t | {k: "0" for k in t if t[k] == "never"} for t in tried]
    return any(ends([f"{k}={v}" for k, v in t.items()], steps - 1) for t in tried)


@pytest.mark.parametrize("word", MISSPELT)
def test_what_was_probably_meant_is_taken(word):
    said = refusal([word])
    meant = re.search(r"Did you mean '(.+?)'", said)
    assert meant, said
    key, value = word.split("=", 1)
    right = key.rpartition(".")[0] + "." * ("." in key) + meant[1]
    value = "0.1" if value in ("0.1", "1") else value
    follows = [f"{right}={value}", f"{key}={meant[1]}", f"{key}=[{meant[1]}]"]
    assert None in [refusal([f]) for f in follows], (said, follows)
