"""The style sheet: readable in light and in dark, and complete."""

from __future__ import annotations

import re
from importlib.resources import files

import numpy as np
import pytest

from lookalike.report import RunReport, render_report
from lookalike.report.map_plot import COLOURS
from lookalike.report.plots import SERIES

STYLE = files("lookalike.report").joinpath("style.css").read_text("utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a: str, b: str) -> float:
    dark, light = sorted([luminance(a), luminance(b)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast(theme: dict[str, str]) -> None:
    for ground in ("paper", "raised", "note"):
        assert contrast(theme["ink"], theme[ground]) >= 7
    for ground in ("paper", "raised", "track"):
        assert contrast(theme["soft"], theme[ground]) >= 4.5
    assert contrast(theme["accent"], theme["paper"]) >= 4.5
    for mark in ("right", "wrong"):
        assert contrast(theme[mark], theme["on-mark"]) >= 4.5
    lines = [f"s{i}" for i in range(SERIES)] + [f"k{i}" for i in range(COLOURS)]
    for line in (*lines, "right", "wrong"):
        assert contrast(theme[line], theme["paper"]) >= 3, line


def test_both_themes_name_the_same_colours() -> None:
    missing = set(LIGHT) ^ set(DARK)
    assert missing == set()
    used = set(re.findall(r"var\(--([\w-]+)\)", STYLE))
    assert used == set(LIGHT)


def test_every_class_on_the_page_has_a_rule_and_every_rule_a_use(report: RunReport) -> None:
    html = render_report(report)
    body = html.split("</style>")[1]
    on_page = {name for names in re.findall(r'class="([^"]*)"', body) for name in names.split()}
    in_style = set(re.findall(r"\.([a-z][\w-]*)", re.sub(r"/\*.*?\*/", "", STYLE)))
    assert on_page - in_style <= {"unknown"}
    series = {f"{kind}{i}" for kind in "sk" for i in range(8)}
    # Not in this report: levels, a band of averages, tiny and unreadable images, warnings, and
    # what only the pages of sweeps and reviews have.
    absent = {"minor", "band", "pixels", "missing", "other", "said", "wide", "rest"}
    assert in_style - on_page - series <= absent
    lines = [f".line.s{i}" for i in range(1, SERIES)]
    assert all(f"{line} {{ stroke-dasharray" in STYLE for line in lines)
