from __future__ import annotations

import re

import pytest

from lookalike.report.parallel import draw_parallel, place
from lookalike.report.sweep import Axis, SweepReport, TrialRow
from lookalike.report.sweep_page import render_sweep

AXES = {
    "optimizer.lr": Axis(low=1e-4, high=1e-2, log=True),
    "model.pool": Axis(choices=["avg", "gem<b>"]),
}


def trial(number, state="finished", value=None, **options):
    values = {"optimizer.lr": 1e-3, "model.pool": "avg"}
    return TrialRow(number=number, state=state, value=value, values=values, **options)


@pytest.fixture
def report():
    trials = [
        trial(0, value=0.25, epochs=3, run="trial-0000/report.html"),
        trial(1, value=0.5, epochs=3, run="trial-0001/report.html"),
        trial(2, "pruned", value=0.75, epochs=1),
        trial(3, "failed", reason="a <script> that cannot be"),
        trial(4, "running"),
        trial(5, value=0.375, epochs=3),
    ]
    return SweepReport(
        title="birds",
        metric="mean_average_precision_at_r",
        axes=AXES,
        trials=trials,
        importances={"optimizer.lr": 0.7, "model.pool": 0.3},
        command="lookalike train dataset=cub optimizer.lr=0.001",
        facts=[("Sampler", "tpe")],
        created="today",
    )


def test_the_page_tells_of_every_trial(report):
    page = render_sweep(report)
    assert "6 trials for MAP@R: 3 finished · 1 pruned · 1 failed · 1 running" in page
    assert '<p class="big">0.500</p><p>MAP@R of trial 1</p>' in page
    assert "lookalike train dataset=cub optimizer.lr=0.001" in page
    assert '<a href="trial-0001/report.html">1</a>' in page
    assert page.count('<tr class="mine">') == 1
    for title in ("Best", "History", "What mattered", "Options and results", "Trials"):
        assert f">{title}</h2>" in page
    assert ">70%</b>" in page


def test_words_of_others_are_only_text(report):
    page = render_sweep(report)
    assert "failed: a &lt;script&gt; that cannot be" in page
    assert "gem&lt;b&gt;" in page
    assert "gem<b>" not in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_a_pruned_trial_is_never_the_best(report):
    assert [row.number for row in report.finished] == [1, 5, 0]


def test_a_sweep_that_just_began_has_a_page():
    page = render_sweep(
        SweepReport(title="s", metric="ndcg", axes=AXES, trials=[trial(0, "running")])
    )
    assert "1 trial for NDCG: 1 running" in page
    assert "Best</h2>" not in page


@pytest.mark.parametrize(
    ("axis", "value", "share"),
    [
        (Axis(low=0.0, high=2.0), 0.5, 0.25),
        (Axis(low=1e-4, high=1e-2, log=True), 1e-3, 0.5),
        (Axis(choices=["a", "b", None]), None, 1.0),
        (Axis(choices=[True]), True, 0.0),
        (Axis(low=3.0, high=3.0), 3.0, 0.5),
    ],
)
def test_a_value_has_its_place(axis, value, share):
    assert place(axis, value) == pytest.approx(share)


def test_the_best_quarter_is_drawn_over_the_others(report):
    drawing = draw_parallel(report)
    assert drawing is not None
    lines = re.findall(
        r"<path d=\"M[^\"]*L[^\"]*\" class=\"([^\"]+)\"><title>(.*?)</title>", drawing
    )
    assert lines == [
        ("line rest", "Trial 0: 0.250"),
        ("line rest", "Trial 5: 0.375"),
        ("line s0", "Trial 1: 0.500"),
    ]
