from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from lookalike.report import EvaluationSection, metric_table


def _printed(section: EvaluationSection, width: int = 80, **options: bool) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as out:
        console.print(metric_table(section, **options))
    return out.get()


SECTION = EvaluationSection(
    split="test",
    values={"recall_at_1": 0.8124, "mean_average_precision": 0.5},
    definitions={"recall_at_1": "hits in the [first] place"},
    intervals={"recall_at_1": (0.789, 0.834)},
    interval_note="95 % bootstrap over queries",
    counts={"queries": 1234},
    skipped=2,
    baselines=[("raw [bold]pixels[/]", {"recall_at_1": 0.25})],
)


def test_numbers_baselines_and_definitions() -> None:
    text = _printed(SECTION)
    assert "test: 1,234 queries" in text
    assert "0.812 (0.79–0.83)" in text and "0.250" in text
    # What strangers named is text here too, no console markup.
    assert "raw [bold]pixels[/]" in text
    assert "hits in the [first] place" in text
    assert "In brackets: 95 % bootstrap over queries." in text
    assert "2 queries without a positive count in no metric." in text


def test_all_baselines_of_a_pretrained_run_fit_eighty_columns() -> None:
    names = ("raw pixels", "colour histogram", "untrained network", "frozen backbone")
    values = dict.fromkeys(["precision_at_1", "recall_at_1"], 0.25)
    section = replace(
        SECTION,
        values=values,
        intervals=dict.fromkeys(values, (0.789, 0.834)),
        baselines=[(name, values) for name in names],
    )
    text = _printed(section)
    assert text.count("0.250 (0.79–0.83)") == 2
    assert "…" not in text
    assert all(word in text for name in names for word in name.split())


def test_definitions_can_be_left_out() -> None:
    assert "hits in" not in _printed(SECTION, definitions=False)


def test_four_levels_fit_eighty_columns() -> None:
    names = [f"mean_average_precision_at_r_level{level}" for level in range(4)]
    leveled = replace(
        SECTION,
        values=dict.fromkeys(names, 0.8124),
        intervals=dict.fromkeys(names, (0.789, 0.834)),
        levels=("species", "genus", "family", "order"),
        skipped={"genus": 7},
    )
    text = _printed(leveled)
    assert text.count("0.812") == text.count("(0.79–0.83)") == 4
    assert all(level in text for level in leveled.levels)
    assert "7 queries without a positive (genus)" in text
    assert "…" not in text
