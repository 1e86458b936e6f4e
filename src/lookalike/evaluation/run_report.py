"""From measured splits to the page of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lookalike.compose import to_yaml
from lookalike.config import Config, EvaluationConfig
from lookalike.console import Console
from lookalike.errors import counted
from lookalike.evaluation import baselines, verdict
from lookalike.evaluation.averages import means_of
from lookalike.evaluation.evaluator import SplitResult, measure_vectors
from lookalike.evaluation.shown import image_sources
from lookalike.evaluation.verdict import Beside
from lookalike.metrics import RetrievalReport
from lookalike.metrics.contract import EMPTY
from lookalike.metrics.definitions import kind
from lookalike.models.preprocessing import side
from lookalike.report import (
    Confusions,
    EvaluationSection,
    Neighbour,
    Published,
    RunReport,
    Sheet,
    SheetRow,
    choose_queries,
    find_confusions,
    map_embeddings,
    write_report,
)
from lookalike.report.diagnostics import concerns_of_run
from lookalike.runs import Run

_NEIGHBOURS = 8
_SHEET_NOTES = {
    "Best": "queries of the highest average precision",
    "Median": "queries nearest to the median average precision",
    "Worst": "queries of the lowest average precision",
}


def write_run_report(
    folder: Run, config: Config, measured: Sequence[SplitResult], console: Console
) -> list[EvaluationSection]:
    """Write ``report.html`` and return its sections.

    Args:
        folder: the run.
        config: its configuration.
        measured: its evaluated splits.
        console: told what takes a while.
    """
    manifest = folder.read_manifest()
    warnings = concerns_of_run(folder.history())
    sections, verdicts = [], []
    beside: dict[int, Beside] = {}  # the widths of an embedding share their rows
    for one in measured:
        console.say(f"report   drawing {one.split}")
        if baselines.wanted(config) and id(one.table) not in beside:
            beside[id(one.table)] = verdict.of_run(folder, config, one)
            verdicts += beside[id(one.table)].words
        others = beside[id(one.table)].values if id(one.table) in beside else {}
        sections.append(section(one, config, list(others.items())))
    for words in verdicts:
        console.say(words)
    sections += mean_sections(measured, config.evaluation)
    write_report(
        folder.report,
        RunReport(
            title=folder.folder.resolve().name,
            subtitle=_subtitle(config),
            command=manifest["command"],
            created=manifest["started"],
            versions=manifest["versions"],
            config=to_yaml(config),
            facts=_facts(manifest, config, measured),
            evaluations=sections,
            rows=_rows(folder),
            published=_published(config),
            notes=[*verdicts, *_notes(manifest), *_warned(warnings)],
            warnings=list(warnings.values()),
        ),
    )
    return sections


def numbers(one: SplitResult, over: str = "classes") -> EvaluationSection:
    """One split as the terminal shows it: values, intervals, definitions, counts.

    Args:
        one: the split.
        over: what the bootstrap draws, "classes" or "queries".
    """
    rows, report = one.table, one.report
    labels = rows.labels[one.queries, one.level]
    return EvaluationSection(
        split=one.split,
        values=report.values,
        definitions=_words(report),
        intervals=report.intervals(over=over, level=one.level),
        interval_note=f"95 % bootstrap over {over}",
        levels=rows.levels,
        counts={
            "queries": len(one.queries),
            "gallery images": len(one.gallery),
            "classes": len(np.unique(labels[labels >= 0])),
        },
        skipped=_skipped(one),
        contract=_contract(one),
    )


def mean_sections(measured: Sequence[SplitResult], c: EvaluationConfig) -> list[EvaluationSection]:
    """What is averaged over splits and levels, without intervals."""
    words = {name: text for one in measured for name, text in _words(one.report).items()}
    return [
        EvaluationSection(
            split=title,
            values=found,
            definitions={name: words[name] for name in found if name in words},
            levels=measured[0].table.levels,
        )
        for title, found in means_of(measured, c).items()
    ]


def _words(report: RetrievalReport) -> dict[str, str]:
    """Each figure in plain words and as a formula, with where it comes from."""
    return {name: d.told for name, d in report.definitions.items()}


def _contract(one: SplitResult) -> list[str]:
    """How equal scores rank, and what queries without a positive count."""
    report = one.report
    ranked = [d for name, d in report.definitions.items() if name in report.per_query]
    lines = [f"Order: {rule}." for rule in dict.fromkeys(d.ties for d in ranked)]
    empty = dict.fromkeys(d.empty for d in ranked)
    lines += [f"Queries without a positive: {rule}." for rule in empty]
    if _zero(one) and (count := max(report.skipped.values(), default=0)):
        queries = counted(count, "such query", "such queries")
        lines.append(f"{queries} at most at one level.")
    return lines


def _zero(one: SplitResult) -> bool:
    return any(d.empty == EMPTY["zero"] for d in one.report.definitions.values())


def section(
    one: SplitResult, config: Config, beside: Sequence[tuple[str, Mapping[str, float]]] = ()
) -> EvaluationSection:
    """One split as the page shows it: also baselines, contact sheets, map and confusions."""
    rows, labels = one.table, one.table.labels[:, one.level]
    names = rows.names(one.level)
    found, scores = one.report.neighbours(np.arange(len(one.queries)), _NEIGHBOURS)
    return replace(
        numbers(one),
        baselines=beside,
        sheets=_sheets(one, found, scores),
        map=map_embeddings(
            one.embeddings, labels, names=lambda c: _name(names, c), images=image_sources(rows)
        ),
        confusions=_confusions(one, found[:, 0], scores[:, 0]),
    )


def _confusions(one: SplitResult, nearest: np.ndarray, scores: np.ndarray) -> Confusions:
    """Of the queries that have a positive: without one, the nearest can only be wrong."""
    rows, labels, names = one.table, one.table.labels[:, one.level], one.table.names(one.level)
    kept = np.flatnonzero(~np.isnan(_average_precision(one)) & (nearest >= 0))
    queries, found = one.queries[kept], one.gallery[nearest[kept]]
    images = image_sources(rows)
    return find_confusions(
        labels[queries],
        labels[found],
        names=lambda c: _name(names, c),
        query_images=[images[i] for i in queries],
        neighbour_images=[images[i] for i in found],
        scores=scores[kept],
    )


def _sheets(one: SplitResult, found: np.ndarray, scores: np.ndarray) -> list[Sheet]:
    queries, gallery = one.queries, one.gallery
    rows, labels = one.table, one.table.labels[:, one.level]
    names, images = rows.names(one.level), image_sources(rows)
    precision = _average_precision(one)
    counts = np.bincount(labels[gallery][labels[gallery] >= 0], minlength=len(names))
    chosen = choose_queries(
        precision, labels=labels[queries], positives=counts[labels[queries]], count=5
    )

    def row(query: int) -> SheetRow:
        place = queries[query]
        hits = [
            Neighbour(
                image=images[gallery[item]],
                label=_name(names, int(labels[gallery[item]])),
                score=float(score),
                right=bool(labels[gallery[item]] == labels[place]),
            )
            for item, score in zip(found[query], scores[query], strict=True)
            if item >= 0
        ]
        return SheetRow(
            query=images[place],
            neighbours=hits,
            title=_name(names, int(labels[place])),
            value=f"average precision {precision[query]:.2f}",
        )

    lists = {"Best": chosen.best, "Median": chosen.median, "Worst": chosen.worst}
    return [
        Sheet(title=title, rows=[row(q) for q in picked], note=_SHEET_NOTES[title])
        for title, picked in lists.items()
        if picked
    ]


def _average_precision(one: SplitResult) -> np.ndarray:
    """Per query, of the finest level, whatever else the run measures."""
    only = EvaluationConfig(metrics=["mean_average_precision", "medium_map"], levels=[one.level])
    again = measure_vectors(one.split, one.table, one.embeddings, only).report
    return next(iter(again.per_query.values()))


def _name(names: Sequence[str], code: int) -> str:
    return names[code] if code >= 0 else "distractor"


def _skipped(one: SplitResult) -> int | dict[str, int]:
    """Queries without a positive that count in nothing, for each level or setup there is."""
    skipped = one.report.skipped
    if _zero(one):
        return 0
    if setups := [name for name in skipped if kind(name) == "landmarks"]:
        return {name.split("_")[0]: skipped[name] for name in setups}
    if len(one.table.levels) == 1:
        return max(skipped.values(), default=0)
    return {
        level: max((n for name, n in skipped.items() if name.endswith(f"_level{i}")), default=0)
        for i, level in enumerate(one.table.levels)
    }


def _rows(folder: Run) -> list[dict[str, Any]]:
    """The history with one learning rate a row, the backbone's, for the curves."""
    return [
        row | {"lr": next(iter(row["lr"].values()))} if row["kind"] == "train" else row
        for row in folder.history()
    ]


def _subtitle(config: Config) -> str:
    recipe = f"recipe {config.recipe}: " if config.recipe else ""
    return f"{recipe}{config.loss['name']} on {config.dataset['name']} with {config.model.backbone}"


def _facts(
    manifest: dict[str, Any], config: Config, measured: Sequence[SplitResult]
) -> list[tuple[str, str]]:
    data = manifest["data"]
    facts = [
        (
            "Data",
            f"{data['name']}, {counted(data['pictures'], 'image')}, "
            f"fingerprint {data['fingerprint']}",
        ),
        *(("Note", note) for note in data["notes"]),
        ("Model", f"{config.model.backbone}, {counted(manifest['parameters'], 'parameter')}"),
        ("Images", f"{side(config)} × {side(config)} pixels"),
        (
            "Training",
            f"{counted(manifest['epochs'], 'epoch')}, {counted(manifest['steps'], 'step')}",
        ),
        ("Time", f"{manifest['seconds']:,.0f} s on {manifest['machine']['system']}"),
        ("Code", manifest["code"] or "installed package"),
    ]
    facts += [("Note", note) for one in measured for note in one.table.notes[len(data["notes"]) :]]
    return facts


def _published(config: Config) -> list[Published]:
    return [
        Published(
            metric=metric,
            value=float(value),
            source=str(paper.get("source", "")),
            split=str(paper.get("split", "")),
        )
        for paper in config.published
        for metric, value in paper.get("figures", {}).items()
    ]


def _warned(warnings: Mapping[str, str]) -> list[str]:
    """A line for what may have cost quality; being slow costs none."""
    named = [name for name in warnings if name != "data-bound"]
    if not named:
        return []
    return [f"The training was warned of: {', '.join(named)}. See its health below."]


def _notes(manifest: dict[str, Any]) -> list[str]:
    notes = []
    if skipped := manifest["skipped_pictures"]:
        named = ", ".join(list(skipped)[:3])
        notes.append(f"{counted(len(skipped), 'image')} could not be read in training: {named}")
    notes.append(manifest["choice"])
    return notes
