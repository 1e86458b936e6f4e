from __future__ import annotations

import re

import pytest
from rich.console import Console

from lookalike.report.comparison import ComparedRun, ComparisonReport, MetricDifference
from lookalike.report.comparison_page import (
    comparison_table,
    render_comparison,
    render_markdown,
)
from lookalike.report.contents import Sheet
from lookalike.report.images import Neighbour, SheetRow

HOSTILE = "<script>alert(1)</script>|b`"


def difference(metric: str = "recall_at_1", **changes) -> MetricDifference:
    facts = {
        "metric": metric, "baseline": 0.5, "value": 0.625, "difference": 0.125,
        "interval": (0.05, 0.2), "p_value": 0.0002, "corrected": 0.0004,
        "queries": 100, "better": 20, "worse": 3,
    }  # fmt: skip
    return MetricDifference(**(facts | changes))


@pytest.fixture
def report(pictures) -> ComparisonReport:
    near = [Neighbour(image=pictures[1], label=HOSTILE, score=0.5, right=False)]
    sheet = Sheet(title="Gained most", rows=[SheetRow(query=pictures[0], neighbours=near)])
    run = ComparedRun(
        name=HOSTILE,
        differences=[
            difference(),
            difference("mean_average_precision_at_r", corrected=0.2),
            difference("ndcg", difference=-0.1, value=0.4, better=1, worse=30),
            difference("h_ap", better=0, worse=0, difference=0.0, p_value=1.0, corrected=1.0),
        ],
        sheets=[sheet],
    )
    return ComparisonReport(
        baseline="base",
        split="test",
        runs=[run],
        counts={"queries": 100},
        method=["p (Holm): corrected."],
        notes=["few"],
        definitions={"recall_at_1": "a <hit> among 1"},
        command="lookalike compare a b",
        created="today",
    )


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "better"),
        ({"difference": -0.1}, "worse"),
        ({"corrected": 0.05}, "better"),
        ({"corrected": 0.051}, "noise"),
        ({"corrected": 0.051, "alpha": 0.1}, "better"),
        ({"better": 0, "worse": 0}, "same"),
    ],
)
def test_verdicts(changes, verdict):
    assert difference(**changes).verdict == verdict


def test_words_sort_the_metrics_by_verdict(report):
    words = report.in_words(report.runs[0])
    assert words == [
        f"{HOSTILE} is better than base in Recall@1 (+0.125).",
        f"{HOSTILE} is worse than base in NDCG (−0.100).",
        "May be noise: MAP@R.",
        "The same for every query: H-AP.",
    ]


def test_words_say_when_nothing_is_real(report):
    none = ComparedRun(
        name="x", differences=[difference(f"recall_at_{k}", corrected=1.0) for k in range(1, 9)]
    )
    assert report.in_words(none) == [
        "No difference between x and base is shown to be real.",
        "May be noise: 8 metrics.",
    ]


def test_page_escapes_and_loads_nothing(report):
    page = render_comparison(report)
    assert page == render_comparison(report)
    assert "<script" not in page
    assert "<hit>" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count("<tbody>") == 1
    for words in ("+0.125", "&lt;0.001", "20 / 3", "may be noise", "Gained most", "few"):
        assert words in page


def test_markdown_cells_stay_in_their_cells(report):
    text = render_markdown(report, {HOSTILE: "changed-1.png"})
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 6
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {10}
    assert "<script" not in text.replace(r"\<script", "")
    assert "![before and after](changed-1.png)" in text
    assert "changed-1.png" not in render_markdown(report)


def test_terminal_table_fits_80_columns():
    run = ComparedRun(name="roadmap", differences=[difference("r_precision_level0")])
    report = ComparisonReport(baseline="smooth_ap", split="test", runs=[run], levels=["species"])
    with (console := Console(width=80)).capture() as out:
        console.print(comparison_table(report))
    lines = out.get().splitlines()
    row = next(line for line in lines if "R-precision, species" in line)
    for cell in ("0.500", "0.625", "+0.125", "+0.050 to +0.200", "<0.001", "better"):
        assert cell in row
    assert max(map(len, lines)) <= 80
    heads = next(line for line in lines if line.startswith("Metric")).split()
    assert heads == ["Metric", "baseline", "run", "Change", "Interval", "(Holm)", "Verdict"]
