"""The page of a round: the table of all rounds, and contact sheets of telling clusters."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd

from lookalike.data.frames import read_frame
from lookalike.discover.rounds import Round, predicted_classes
from lookalike.errors import counted
from lookalike.files import write_text
from lookalike.metrics import clustering
from lookalike.report import Neighbour, RunReport, Sheet, SheetRow
from lookalike.report.figures import format_estimate, metric_title
from lookalike.report.render import Part, render_page
from lookalike.report.tables import Column, ReportTable, TableRow

_MEMBERS, _CLUSTERS = 10, 4
_TITLES = {"pairwise_f": "pairwise F", "b_cubed_f": "B-cubed F", "nmi": "NMI", "ami": "AMI"}


def lines(measured: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """The table of rounds: what is measured, and its value in every round."""
    found: list[tuple[str, list[str]]] = []
    for part, title in (("retrieval", metric_title), ("clustering", lambda n: _TITLES[n])):
        for kind, first in measured[0][part].items():
            for name in first["values"]:
                cells = []
                for one in measured:
                    here = one[part][kind]
                    interval = here["intervals"].get(name)
                    cells.append(
                        format_estimate(
                            here["values"][name], None if interval is None else tuple(interval)
                        )
                    )
                found.append((f"{kind}: {title(name)}", cells))
    for kind in measured[0]["clustering"]:
        cells = [
            f"{h['clusters_of_two_or_more']} / {h['classes']} ({h['class_count_error']:+.0%})"
            for h in (m["clustering"][kind] for m in measured)
        ]
        found.append((f"{kind}: clusters of two or more / classes", cells))
    for title, key in (
        ("classes in all, by k-means / true", "classes"),
        ("classes clustered, by the clusters / true", "classes_from_clusters"),
    ):
        counts = [m.get(key) for m in measured]
        if any(counts):
            found.append((title, [_count(count) for count in counts]))
    if measured[0]["gate"]:
        found.append(("known or new: AUROC", [f"{m['gate']['auroc']:.3f}" for m in measured]))
    found.append(
        (
            "trained on: true + pseudo labels (purity)",
            [
                f"{m['trained_on']['true']} + {m['trained_on']['pseudo']}"
                + (f" ({p:.2f})" if (p := m["trained_on"]["purity"]) is not None else "")
                for m in measured
            ],
        )
    )
    return found


def _count(count: dict[str, Any] | None) -> str:
    if count is None:
        return "–"
    return f"{count['estimate']} ({count['low']}–{count['high']}) / {count['true'] or '?'}"


def rounds_table(measured: list[dict[str, Any]]) -> ReportTable:
    """What is measured, and its value in every round."""
    return ReportTable(
        columns=[Column("", numeric=False), *(Column(f"round {m['round']}") for m in measured)],
        rows=[TableRow([name, *cells]) for name, cells in lines(measured)],
        caption="Round by round",
    )


def write_page(
    one: Round, x: np.ndarray, clusters: pd.DataFrame, measured: list[dict[str, Any]]
) -> None:
    """Write ``report.html`` of a round."""
    file = one.home / "report.html"
    parts = [Part("Round by round", "tables", {"lines": [], "tables": [rounds_table(measured)]})]
    if sheets := _sheets(one, x, clusters):
        parts.append(Part("Clusters", "clusters", sheets))
    if changed := _changes(one, clusters):
        parts.append(Part("Since the last round", "facts", changed))
    report = RunReport(
        title=f"{one.folder.resolve().name}, round {one.number}",
        command=f"lookalike discover run={one.folder}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        subtitle=f"{one.config.dataset['name']}: clusters by {one.config.discover.method}",
    )
    write_text(file, render_page(report, parts))


def described(clusters: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """A line a cluster: ``name``, ``size``, ``density`` (mean), ``purity`` (NaN if unknown)."""
    frame = pd.DataFrame(
        {
            "name": predicted_classes(clusters),
            "density": clusters["density"].to_numpy(),
            "truth": rows["label"].to_numpy(object)[clusters["row"]],
        }
    )
    found = frame.groupby("name", sort=False).agg(
        size=("name", "size"),
        density=("density", "mean"),
        purity=(
            "truth",
            lambda t: t.value_counts(normalize=True).max() if t.notna().any() else np.nan,
        ),
    )
    return found.reset_index()


def _sheets(one: Round, x: np.ndarray, clusters: pd.DataFrame) -> list[Sheet]:
    table = described(clusters, one.rows)
    table = table[table["size"] > 2]
    orders = {
        "Largest": (table.sort_values("size", ascending=False), "the most images"),
        "Densest": (table.sort_values("density", ascending=False), "the highest mean density"),
        "Most doubtful": (table.sort_values("density"), "the lowest mean density"),
        "Most mixed": (
            table.dropna(subset="purity").sort_values("purity"),
            "the smallest share of their commonest true class",
        ),
    }
    names = predicted_classes(clusters)
    return [
        Sheet(
            title=title,
            note=f"clusters of three or more with {why}",
            rows=[
                cluster_row(one, x, clusters, names, line)
                for line in part.head(_CLUSTERS).itertuples()
            ],
        )
        for title, (part, why) in orders.items()
        if len(part)
    ]


def cluster_row(
    one: Round, x: np.ndarray, clusters: pd.DataFrame, names: np.ndarray, line: Any
) -> SheetRow:
    """A cluster as a line of images: its central one, then the members nearest to the centre."""
    members = clusters["row"].to_numpy()[names == line.name]
    centre = x[members].mean(axis=0)
    order = members[np.argsort(-(x[members] @ centre), kind="stable")]
    labels = one.rows["label"].to_numpy(object)
    known = one.rows["label"].notna().to_numpy()
    paths = one.rows["path"].to_numpy(object)
    middle = order[0]
    # The surest, and the farthest: what the edge of a cluster holds tells most about it.
    shown = [*order[1 : _MEMBERS - 2], *order[max(_MEMBERS - 2, 1) :][-2:]]
    mixed = "" if np.isnan(line.purity) else f", purity {line.purity:.2f}"
    return SheetRow(
        query=str(paths[middle]),
        neighbours=[
            Neighbour(
                image=str(paths[row]),
                label=str(labels[row]) if known[row] else "",
                score=float(x[row] @ x[middle]),
                right=bool(labels[row] == labels[middle]) if known[[row, middle]].all() else None,
            )
            for row in shown
        ],
        title=f"{line.name}: {counted(line.size, 'image')}",
        value=f"density {line.density:.2f}{mixed}",
    )


def _changes(one: Round, clusters: pd.DataFrame) -> list[tuple[str, str]]:
    """How far this round's partition of the unlabeled images is that of the round before."""
    if one.number == 0:
        return []
    last = one.folder / f"round-{one.number - 1}" / "clusters.parquet"
    before = predicted_classes(read_frame(last))
    now = predicted_classes(clusters)
    code = [pd.factorize(part)[0] for part in (now, before)]
    agreement = clustering(*code)["b_cubed_f"]
    table = read_frame(one.home / "train.parquet")
    fresh = table[table["round"] == one.number]
    classes = counted(fresh["label"].nunique(), "class", "classes")
    return [
        ("Agreement with the partition before (B-cubed F)", f"{agreement:.3f}"),
        ("Clusters before and now", f"{code[1].max() + 1} → {code[0].max() + 1}"),
        ("Images newly trained on", f"{len(fresh):,} in {classes}"),
        ("Of these given a known class", str(int((fresh["origin"] == "gate").sum()))),
    ]
