"""From a watch's rows to charts: how healthy a training was, figure by figure."""

from __future__ import annotations

from collections.abc import Sequence

from lookalike.report.curves import Chart, Row, epochs_of, thinned

# Title → (figure, name in the legend); a group's gradient norm is found by its beginning.
_CHARTS = {
    "Effective rank": {"effective_rank": "effective rank"},
    "Uniformity and alignment": {"uniformity": "uniformity", "alignment": "alignment"},
    "Hubness": {"hubness": "skewness of the 10-occurrence"},
    "Active share of a batch": {
        "active_share": "images with a gradient",
        "starved_proxies": "proxies without an image yet",
    },
    "Loss scale": {"loss_scale": "loss scale"},
}
_CLOCKS = {
    "Images per second": {"pictures_per_second": "images/s"},
    "Time spent waiting for images": {"waiting_share": "share of the time"},
    "GPU memory": {"gpu_memory_gib": "peak, GiB"},
}
_NORM = "gradient_norm_"


def health_charts(rows: Sequence[Row], bins: int = 160) -> list[Chart]:
    """Embeddings, gradients, then speed; a figure that no row has is left out.

    Args:
        rows: of ``metrics.jsonl``: ``{"kind": "watch", "epoch", "step", "values": {…}, "clock":
            {…}}``; others tell where epochs end.
        bins: points a curve has at most.

    >>> row = {"kind": "watch", "epoch": 1, "step": 1, "values": {"hubness": 0.5}, "clock": {}}
    >>> [chart.title for chart in health_charts([row])]
    ['Hubness']
    """
    watched = {row["step"]: row for row in rows if row.get("kind") == "watch"}
    ordered = sorted(watched.values(), key=lambda row: row["step"])
    timed = [row for row in rows if row.get("kind") in ("train", "watch", "evaluation")]
    epoch = epochs_of(timed)
    end = max(epoch.values(), default=0.0)
    norms = sorted({key for row in ordered for key in row["values"] if key.startswith(_NORM)})
    wanted = dict(_CHARTS)
    wanted["Gradient norm"] = {name: name.removeprefix(_NORM) for name in norms}
    found = []
    for part, titles in (("values", wanted), ("clock", _CLOCKS)):
        flat = [{"step": row["step"], **row[part]} for row in ordered]
        for title, names in titles.items():
            lines = []
            for key, name in names.items():
                line, _ = thinned(flat, key, epoch, bins, name=name)
                lines += [line] if line.x else []
            if lines:
                found.append(Chart(title=title, lines=lines, epochs=end))
    return found
