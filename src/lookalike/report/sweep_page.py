"""A sweep as one HTML file that looks like the report of a run."""

from __future__ import annotations

from lookalike.report.contents import RunReport
from lookalike.report.curves import Chart, Line
from lookalike.report.figures import format_value, metric_title, short
from lookalike.report.parallel import draw_parallel
from lookalike.report.plots import draw_charts
from lookalike.report.render import Part, render_page
from lookalike.report.sweep import SweepReport, TrialRow, Value
from lookalike.report.tables import Cell, Column, ReportTable, TableRow


def render_sweep(report: SweepReport) -> str:
    """The whole page as text; the same sweep gives the same bytes.

    >>> page = render_sweep(SweepReport(title="s", metric="ndcg", axes={}, trials=[]))
    >>> page.startswith("<!doctype html>")
    True
    """
    parts = []
    done = report.finished
    if done:
        best = done[0]
        told = f"{metric_title(report.metric)} of trial {best.number}"
        values = [(name, written(value)) for name, value in best.values.items()]
        data = {"value": best.value, "of": told, "values": values, "command": report.command}
        parts.append(Part("Best", "best", data))
        parts.append(Part("History", "drawn", draw_charts([_history(report)])))
    if report.importances:
        parts.append(Part("What mattered", "importances", report.importances))
    if drawing := draw_parallel(report):
        parts.append(Part("Options and results", "drawn", drawing))
    parts.append(Part("Trials", "tables", {"lines": [], "tables": [_trials(report)]}))
    parts.append(Part("How it was searched", "facts", report.facts))
    states = [trial.state for trial in report.trials]
    kinds = ("finished", "pruned", "failed", "running")
    counts = " · ".join(f"{states.count(kind)} {kind}" for kind in kinds if kind in states)
    many = "trial" if len(states) == 1 else "trials"
    # What the reader must know before trusting the best.
    flattered = (
        f"The best of {len(done)} is the luckiest of {len(done)} too: its value flatters it. "
        "Measure it on a split that chose nothing, with other seeds."
    )
    frame = RunReport(
        title=report.title,
        subtitle=f"{len(states)} {many} for {metric_title(report.metric)}: {counts}",
        command=report.command,
        created=report.created,
        notes=[flattered] if len(done) > 1 else [],
    )
    return render_page(frame, parts)


def written(value: Value) -> str:
    """A value of an option, in four digits at most.

    >>> written(0.00012345), written("smooth_ap"), written(True), written(None)
    ('1.23e-4', 'smooth_ap', 'true', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return short(value) if isinstance(value, float) else str(value)


def _history(report: SweepReport) -> Chart:
    done = sorted(report.finished, key=lambda trial: trial.number)
    x = [float(trial.number) for trial in done]
    values = [trial.value or 0.0 for trial in done]
    best = [max(values[: i + 1]) for i in range(len(values))]
    lines = [Line(name="each trial", x=x, y=values), Line(name="best so far", x=x, y=best)]
    title = metric_title(report.metric)
    return Chart(title=title, lines=lines, measured=True, unit="trial")


def _trials(report: SweepReport) -> ReportTable:
    names = list(report.axes)
    best = report.finished[0].number if report.finished else None

    def row(trial: TrialRow) -> TableRow:
        cells = [
            Cell(str(trial.number), link=trial.run),
            "–" if trial.value is None else format_value(trial.value),
            *(written(trial.values[name]) if name in trial.values else "–" for name in names),
            str(trial.epochs),
            f"failed: {trial.reason}" if trial.reason else trial.state,
        ]
        return TableRow(cells, "mine" if trial.number == best else "")

    heads = ["Trial", "Result", *names, "Epochs", "State"]
    columns = [Column(name, numeric=False) for name in heads]
    return ReportTable(
        columns=columns, rows=[row(trial) for trial in report.trials], caption="Trials"
    )
