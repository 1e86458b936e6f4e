"""A sweep as one HTML file that looks like the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lookalike.files import write_text
from lookalike.report.contents import RunReport
from lookalike.report.curves import Chart, Line
from lookalike.report.figures import format_value, metric_title
from lookalike.report.markup import Html, join, tag
from lookalike.report.page import document
from lookalike.report.parallel import draw_parallel
from lookalike.report.plots import join_charts, short
from lookalike.report.sweep import SweepReport, TrialRow, Value


def render_sweep(report: SweepReport) -> str:
    """The whole page as text; the same sweep gives the same bytes.

    >>> page = render_sweep(SweepReport(title="s", metric="ndcg", axes={}, trials=[]))
    >>> page.startswith("<!doctype html>")
    True
    """
    parts: list[tuple[str, Html]] = []
    if report.finished:
        parts.append(("Best", _best(report)))
        parts.append(("History", join_charts([_history(report)])))
    if report.importances:
        parts.append(("What mattered", _importances(report)))
    if drawing := draw_parallel(report):
        parts.append(("Options and results", drawing))
    parts.append(("Trials", _table(report)))
    facts = [tag("div", tag("dt", name), tag("dd", value)) for name, value in report.facts]
    parts.append(("How it was searched", tag("dl", facts, class_="facts")))
    states = [trial.state for trial in report.trials]
    kinds = ("finished", "pruned", "failed", "running")
    counts = " · ".join(f"{states.count(kind)} {kind}" for kind in kinds if kind in states)
    many = "trial" if len(states) == 1 else "trials"
    frame = RunReport(
        title=report.title,
        subtitle=f"{len(states)} {many} for {metric_title(report.metric)}: {counts}",
        command=report.command,
        created=report.created,
        notes=_notes(report),
    )
    return document(frame, parts)


def write_sweep(path: Path, report: SweepReport) -> Path:
    """Write the page whole or not at all.

    Raises:
        RunError: the folder is not writable or full.
    """
    write_text(path, render_sweep(report))
    return path


def written(value: Value) -> str:
    """A value of an option, in four digits at most.

    >>> written(0.00012345), written("smooth_ap"), written(True), written(None)
    ('1.23e-4', 'smooth_ap', 'true', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return short(value) if isinstance(value, float) else str(value)


def _notes(report: SweepReport) -> list[str]:
    """What the reader must know before trusting the best."""
    done = len(report.finished)
    notes = []
    if done > 1:
        notes.append(
            f"The best of {done} is the luckiest of {done} too: its value flatters it. Measure it "
            "on a split that chose nothing, with other seeds."
        )
    return notes


def _best(report: SweepReport) -> Html:
    best = report.finished[0]
    values = [
        tag("div", tag("dt", name), tag("dd", written(value)))
        for name, value in best.values.items()
    ]
    number = tag("p", format_value(best.value or 0.0), class_="big")
    head = tag("p", f"{metric_title(report.metric)} of trial {best.number}")
    command = tag("pre", tag("code", report.command), class_="wrap")
    return join(number, head, tag("dl", values, class_="facts"), tag("h3", "Command"), command)


def _history(report: SweepReport) -> Chart:
    done = sorted(report.finished, key=lambda trial: trial.number)
    x = [float(trial.number) for trial in done]
    values = [trial.value or 0.0 for trial in done]
    best = [max(values[: i + 1]) for i in range(len(values))]
    lines = [Line(name="each trial", x=x, y=values), Line(name="best so far", x=x, y=best)]
    title = metric_title(report.metric)
    return Chart(title=title, lines=lines, measured=True, unit="trial")


def _importances(report: SweepReport) -> Html:
    bars = [
        tag(
            "li",
            tag("span", name, title=name),
            tag(
                "svg",
                tag("rect", width=100, height=8, class_="track"),
                tag("rect", width=100 * share, height=8, class_="ours"),
                viewBox="0 0 100 8",
                preserveAspectRatio="none",
                aria_hidden="true",
            ),
            tag("b", f"{share:.0%}"),
        )
        for name, share in report.importances.items()
    ]
    words = (
        "Share of the spread of the results that each option explains (fANOVA, Hutter et al. "
        "2014). Few trials make it a guess."
    )
    return join(tag("ul", bars, class_="bars wide"), tag("p", words, class_="small"))


def _table(report: SweepReport) -> Html:
    names = list(report.axes)
    best = report.finished[0].number if report.finished else None
    rows = [_row(report, trial, names, best=trial.number == best) for trial in report.trials]
    heads = ["Trial", "Result", *names, "Epochs", "State"]
    head = tag("tr", [tag("th", name, scope="col") for name in heads])
    table = tag("table", tag("caption", "Trials"), tag("thead", head), tag("tbody", rows))
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Trials")


def _row(report: SweepReport, trial: TrialRow, names: Sequence[str], *, best: bool) -> Html:
    number = tag("a", str(trial.number), href=trial.run) if trial.run else str(trial.number)
    state = f"failed: {trial.reason}" if trial.reason else trial.state
    return tag(
        "tr",
        tag("th", number, scope="row"),
        tag("td", "–" if trial.value is None else format_value(trial.value)),
        [tag("td", written(trial.values[name]) if name in trial.values else "–") for name in names],
        tag("td", str(trial.epochs)),
        tag("td", state),
        class_="mine" if best else None,
    )
