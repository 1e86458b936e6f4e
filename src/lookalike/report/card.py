"""A model card: what the model is, what it reached, of what it was made, and where it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lookalike.report.contents import EvaluationSection
from lookalike.report.figures import metric_title
from lookalike.report.metric_tables import figures_table
from lookalike.report.render import render
from lookalike.report.tables import ReportTable


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a card says.

    Attributes:
        title: the model's name.
        dataset: name of the data that it was trained and measured on.
        backbone: the network.
        width: numbers a vector.
        size: side of the prepared image in pixels.
        parameters: how many.
        preprocessing: the transform in words.
        sections: the evaluations.
        data: sentences about the training data.
        training: (what, value) about the training.
        recipe: the configuration as YAML.
        command: the command that trained it.
        licence: SPDX name, or None where none was stated.
        limits: sentences; see `limits`.
    """

    title: str
    dataset: str
    backbone: str
    width: int
    size: int
    parameters: int
    preprocessing: str
    sections: Sequence[EvaluationSection]
    data: Sequence[str]
    training: Sequence[tuple[str, str]]
    recipe: str
    command: str
    licence: str | None = None
    limits: Sequence[str] = ()


def model_card(card: Card) -> str:
    """The card as Markdown, with the metadata that the Hugging Face hub reads at its head.

    >>> card = Card(
    ...     title="birds",
    ...     dataset="cub",
    ...     backbone="conv4",
    ...     width=8,
    ...     size=32,
    ...     parameters=9,
    ...     preprocessing="crop",
    ...     sections=[EvaluationSection(split="test", values={"recall_at_1": 0.5})],
    ...     data=["cub"],
    ...     training=[],
    ...     recipe="seed: 0",
    ...     command="lookalike train",
    ... )
    >>> [line for line in model_card(card).splitlines() if line.startswith("| Rec")]
    ['| Recall@1 | 0.500 |']
    """
    text = render(
        "card.md.j2",
        card=card,
        metadata=_metadata(card),
        tables=[(section, _table(section)) for section in card.sections],
    )
    return f"{text.strip()}\n"


def _metadata(card: Card) -> str:
    """YAML between two lines of dashes; every value is written as JSON, which YAML reads."""
    head: dict[str, Any] = {
        "library_name": "lookalike",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["image-retrieval", "deep-metric-learning", card.backbone],
    }
    if card.licence is not None:
        head["license"] = card.licence
    results = [_result(section, card.dataset) for section in card.sections if section.values]
    if results:
        head["model-index"] = [{"name": card.title, "results": results}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    return "\n".join(["---", *lines, "---"])


def _result(section: EvaluationSection, dataset: str) -> dict[str, Any]:
    metrics = [
        {"type": name, "name": metric_title(name, section.levels), "value": round(value, 6)}
        for name, value in section.values.items()
        if value == value  # not NaN, which JSON does not have
    ]
    return {
        "task": {"type": "image-retrieval", "name": "Image retrieval"},
        "dataset": {"type": dataset, "name": f"{dataset}, {section.split}", "split": section.split},
        "metrics": metrics,
    }


def _table(section: EvaluationSection) -> ReportTable:
    counts = [f"{section.size}."] if section.counts else []
    said = [*counts, *section.contract]
    if section.interval_note:
        said.append(f"In brackets: {section.interval_note}.")
    return figures_table(section, heads=("Metric", "This model"), notes=said, flat=True)


def limits(card_sections: Sequence[EvaluationSection], facts: Mapping[str, Any]) -> list[str]:
    """What anyone should know before relying on the model, as far as the run tells.

    Args:
        card_sections: the evaluations.
        facts: ``chosen`` (which split chose the model, in words), ``unseen`` (whether no class of
            training is among those tested; None: not known), ``size``.
    """
    lines = [
        "The figures hold for images like those measured. On others measure first: "
        "`lookalike evaluate hf://OWNER/NAME dataset=FOLDER`.",
        "A score is a cosine, not a probability. Which score means the same thing differs from "
        "data to data; read it off marked images (`lookalike serve` collects marks).",
        f"What cannot be told apart at {facts['size']} × {facts['size']} pixels is not told apart.",
    ]
    if not card_sections:
        lines.insert(0, "It has not been measured.")
    elif facts["unseen"] is None:
        lines.append("Whether the classes tested were seen in training is not known here.")
    elif facts["unseen"]:
        lines.append("Tested on classes never seen in training: the figures are for new classes.")
    else:
        lines.append(
            "Classes of training are among those tested: the figures do not say how well classes "
            "are told apart that it has never seen."
        )
    if card_sections and facts["chosen"]:
        lines.append(facts["chosen"])
    return lines
