"""A page on which a person judges clusters, and takes the decisions home."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from lookalike.data.frames import read_frame
from lookalike.discover.decisions import ACTIONS
from lookalike.errors import DataError, counted
from lookalike.files import write_text
from lookalike.report.markup import Html, join, tag
from lookalike.report.sections import picture

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
.cluster { border-top: 1px solid; padding: 0.6rem 0; }
.cluster .members { display: flex; flex-wrap: wrap; gap: 0.3rem; }
.cluster img { width: 5.5rem; height: 5.5rem; object-fit: contain; }
.cluster .choice { display: flex; flex-wrap: wrap; gap: 0.6rem; align-items: center; }
.cluster .choice { margin-bottom: 0.4rem; }
.cluster .choice :is(b, span) { white-space: nowrap; }
.bar { position: sticky; top: 0; background: var(--paper); padding: 0.5rem 0; }
"""
_SCRIPT = """
const boxes = [...document.querySelectorAll(".cluster")];
function decisions() {
  const lines = ["cluster,action,into"];
  for (const box of boxes) {
    const action = box.querySelector("select").value;
    if (!action) continue;
    const field = box.querySelector("input");
    const into = field.disabled ? "" : field.value.trim();
    lines.push([box.dataset.cluster, action, '"' + into.replaceAll('"', '""') + '"'].join(","));
  }
  return lines.join("\\n") + "\\n";
}
function fit(box) {
  const action = box.querySelector("select").value, field = box.querySelector("input");
  field.disabled = !["merge", "rename", "split"].includes(action);
  field.required = ["merge", "rename"].includes(action);
  field.pattern = {merge: "[0-9]+", split: "[2-9]|[1-9][0-9]+"}[action] ?? ".*[^ ].*";
}
boxes.forEach(fit);
document.getElementById("download").addEventListener("click", () => {
  if (!boxes.every((box) => box.querySelector("input").reportValidity())) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([decisions()], {type: "text/csv"}));
  link.download = "decisions.csv";
  link.click();
});
document.addEventListener("change", (event) => {
  fit(event.target.closest(".cluster"));
  document.getElementById("count").textContent = decisions().trim().split("\\n").length - 1;
});
"""


def write_review(
    clusters: Path, out: Path | None = None, *, most: int = 200, members: int = 16
) -> tuple[Path, int, int]:
    """Write the page; where it is, how many clusters it shows, and how many there are.

    Args:
        clusters: of `lookalike cluster`, or of a round of `lookalike discover`.
        out: the page; default: beside the table, ``….review.html``.
        most: clusters shown, the largest ones.
        members: pictures of each, the densest and the least dense.

    Raises:
        DataError: a table that is none of clusters, or without a cluster of two.
    """
    table = read_frame(clusters)
    for column in ("path", "cluster", "density"):
        if column not in table:
            raise DataError(f"{clusters}: no column '{column}'; give a table of lookalike cluster")
    if "clustered" in table:
        table = table[table["clustered"]]
    table = table[table["cluster"] >= 0]
    size = table["cluster"].map(table["cluster"].value_counts())
    table = table[size > 1]
    if not len(table):
        raise DataError(f"{clusters}: every picture stands alone; there is nothing to review")
    chosen = table["cluster"].value_counts().index[:most]
    density = table.groupby("cluster")["density"].mean()[chosen].sort_values()
    boxes = [_box(table[table["cluster"] == number], members) for number in density.index]
    page = out or clusters.with_name(f"{clusters.stem}.review.html")
    write_text(page, _document(clusters, boxes))
    return page, len(boxes), table["cluster"].nunique()


def _box(part: pd.DataFrame, members: int) -> Html:
    """One cluster: what can be done with it, and its pictures."""
    number = int(part["cluster"].iloc[0])
    order = part.sort_values("density", ascending=False)["path"].tolist()
    shown = order if len(order) <= members else [*order[: members - 4], *order[-4:]]
    options = [tag("option", "undecided", value="")]
    options += [tag("option", action, value=action) for action in ACTIONS]
    into = f"into, for cluster {number}"
    choice = tag(
        "p",
        tag("b", f"Cluster {number}"),
        tag("span", f"{counted(len(order), 'picture')}, density {np.mean(part['density']):.2f}"),
        tag("select", options, aria_label=f"Decision about cluster {number}"),
        tag("input", placeholder="cluster, name or number", aria_label=into),
        class_="choice",
    )
    pictures = tag("div", [picture(path, Path(path).name) for path in shown], class_="members")
    return tag("section", choice, pictures, class_="cluster", data_cluster=number)


def _document(clusters: Path, boxes: list[Html]) -> str:
    style = files("lookalike.report").joinpath("style.css").read_text("utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("link", rel="icon", href="data:,"),
        tag("title", f"Review of {clusters.name} · lookalike"),
        tag("style", Html(style + _STYLE)),
    )
    words = (
        "Accept: train on all of it. Reject: on none. Merge into another cluster's number. Rename "
        "into a class's name. Split into a number of parts. What stays undecided is left to its "
        "density."
    )
    bar = tag(
        "p",
        tag("button", "Download decisions.csv", id="download", type="button"),
        " ",
        tag("span", "0", id="count"),
        " decisions",
        class_="bar",
    )
    main = tag("main", tag("h1", "Review of clusters"), tag("p", words), bar, *boxes)
    body = tag("body", main, tag("script", Html(_SCRIPT)))
    return f"<!doctype html>\n{join(tag('html', head, body, lang='en'))}\n"
