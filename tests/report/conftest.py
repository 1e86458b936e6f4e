"""A small but complete report: every section, awkward names, images drawn here."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lookalike.report import (
    EvaluationSection,
    Neighbour,
    Published,
    RunReport,
    Sheet,
    SheetRow,
    find_confusions,
    map_embeddings,
)

HOSTILE = '<script>alert("x")</script>&\'"><img src=http://evil.example/x.png onerror=alert(1)>'


def figure(kind: int, seed: int, side: int = 72) -> np.ndarray:
    """A polygon of ``kind`` corners on a tinted, noisy ground."""
    rng = np.random.default_rng(seed)
    tint = rng.integers(120, 235, 3)
    ground = np.clip(rng.normal(tint, 12, (side, side, 3)), 0, 255).astype(np.uint8)
    image = Image.fromarray(ground)
    turn = rng.uniform(0, 360)
    draw = ImageDraw.Draw(image)
    centre = (side / 2, side / 2, side * rng.uniform(0.25, 0.42))
    draw.regular_polygon(centre, 3 + kind, rotation=turn, fill=tuple(int(c) for c in 255 - tint))
    return np.asarray(image)


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    return [figure(row % 4, row) for row in range(24)]


@pytest.fixture(scope="session")
def section(pictures: list[np.ndarray]) -> EvaluationSection:
    names = [
        "triangle",
        HOSTILE,
        "πέντε",
        "a very long name of a class that has to be cut or wrapped",
    ]
    labels = np.arange(24) % 4
    rng = np.random.default_rng(5)
    embeddings = np.eye(4)[labels] + rng.normal(size=(24, 4)) * 0.4

    def row(query: int) -> SheetRow:
        found = [(query + step) % 24 for step in (4, 1, 8, 3)]
        return SheetRow(
            query=pictures[query],
            title=names[labels[query]],
            value="average precision 0.50",
            neighbours=[
                Neighbour(
                    image=pictures[j],
                    label=names[labels[j]],
                    score=0.9 - 0.1 * place,
                    right=bool(labels[j] == labels[query]),
                )
                for place, j in enumerate(found)
            ],
        )

    values = {"recall_at_1": 0.8124, "mean_average_precision": 0.5, "h_ap": float("nan")}
    nearest = (np.arange(24) + np.where(np.arange(24) % 3, 4, 1)) % 24
    return EvaluationSection(
        split="test",
        values=values,
        definitions={
            "recall_at_1": "the share of queries & <so on>\nFormula: 1 if a hit & <so on>",
            HOSTILE: HOSTILE,
        },
        intervals={"recall_at_1": (0.789, 0.834), "mean_average_precision": None},
        interval_note="95 % bootstrap over queries",
        counts={"queries": 24, "classes": 4},
        skipped=2,
        baselines=[("untrained", {"recall_at_1": 0.3}), (HOSTILE, {"recall_at_1": 0.2})],
        sheets=[
            Sheet(title="Best", rows=[row(0), row(1)], note="highest"),
            Sheet(title="Median", rows=[row(2)]),
            Sheet(title="Worst", rows=[row(3)]),
        ],
        map=map_embeddings(embeddings, labels, names=names, images=pictures, method="pca"),
        confusions=find_confusions(
            labels,
            labels[nearest],
            names=names,
            query_images=pictures,
            neighbour_images=[pictures[j] for j in nearest],
        ),
    )


@pytest.fixture(scope="session")
def report(section: EvaluationSection) -> RunReport:
    rows = [
        {"kind": "evaluation", "epoch": 0, "step": 0, "split": "test", "values": section.values}
    ]
    for step in range(1, 41):
        loss = 1 / step if step != 7 else float("nan")
        epoch = 1 + (step - 1) // 10
        rows.append({"kind": "train", "epoch": epoch, "step": step, "loss": loss, "lr": 1e-4})
        if step % 10 == 0:
            values = {name: value * step / 40 for name, value in section.values.items()}
            row = {"kind": "evaluation", "epoch": epoch, "step": step, "split": "test"}
            rows.append(row | {"values": values})
    return RunReport(
        title=f"run {HOSTILE}",
        subtitle=HOSTILE,
        command=f"lookalike train name='{HOSTILE}'",
        created="2026-11-21 09:00",
        versions={"lookalike": "0.2.0", HOSTILE: HOSTILE},
        config=f"loss: smooth_ap\nname: {HOSTILE}\n",
        facts=[("Data", HOSTILE)],
        evaluations=[section],
        rows=rows,
        published=[Published(metric="recall_at_1", value=0.84, source=HOSTILE)],
        notes=[HOSTILE],
    )
