"""A trained model measured on splits, its own or others', and printed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookalike import distributed
from lookalike.config import Config
from lookalike.console import Console
from lookalike.data.build import broken_policy
from lookalike.data.table import Table
from lookalike.errors import ConfigError, DataError, counted, suggest
from lookalike.evaluation import asymmetric, baselines, evaluator, per_class, reranking, verdict
from lookalike.evaluation.averages import means_of
from lookalike.evaluation.benchmarks import Benchmark, benchmarks, own_config
from lookalike.evaluation.evaluator import SplitResult
from lookalike.evaluation.metric_selection import check_metrics
from lookalike.evaluation.own_split import evaluated_table
from lookalike.evaluation.progress import EvaluationProgress
from lookalike.evaluation.run_report import mean_sections, numbers
from lookalike.evaluation.verdict import Beside
from lookalike.evaluation.widths import narrower
from lookalike.models import ready, weights
from lookalike.models.build import pick_device, pick_precision
from lookalike.models.embedder import Embedder
from lookalike.models.names import split_words
from lookalike.report.contents import EvaluationSection
from lookalike.report.metric_tables import metric_tables
from lookalike.runs import Run


@dataclass(frozen=True)
class Options:
    """What the verb is asked to do beside measuring the run's model as it is.

    Attributes:
        gallery: run or model folder of another model that embeds the gallery.
        image_size: side of the images of the run's model, in pixels; None: as trained.
        gallery_image_size: the same for the gallery's model.
        symmetric: also let each of the two models search its own gallery.
        whitening: "pca" or "learned", on training images; None: none.
        whitening_size: dimensions to keep.
        save_model: folder to write the whitened model to.
        by_class: also the figures of each class.
        over: what the bootstrap draws, "classes" or "queries".
        rerank: methods of `lookalike.search.reranking` to measure beside, or "all".
    """

    gallery: Path | None = None
    image_size: int | None = None
    gallery_image_size: int | None = None
    symmetric: bool = False
    whitening: str | None = None
    whitening_size: int | None = None
    save_model: Path | None = None
    by_class: bool = False
    over: str = "classes"
    rerank: Sequence[str] = ()

    @property
    def plain(self) -> bool:
        """Whether the run's model is measured as it is."""
        return self.gallery is None and self.image_size is None and self.whitening is None

    def check(self) -> None:
        """Refuse what cannot be together.

        Raises:
            ConfigError: an option that would do nothing, or an unknown word.
        """
        reranking.chosen(self.rerank)
        if self.rerank and self.gallery is not None:
            raise ConfigError("--rerank beside --gallery: re-ranking compares vectors of one model")
        for option in ("symmetric", "gallery_image_size"):
            if getattr(self, option) and self.gallery is None:
                raise ConfigError(f"--{option.replace('_', '-')} needs --gallery MODEL")
        for option in ("whitening_size", "save_model"):
            if getattr(self, option) and self.whitening is None:
                words = " or ".join(asymmetric.WHITENINGS)
                raise ConfigError(f"--{option.replace('_', '-')} needs --whitening {words}")
        for name, value, known in (
            ("whitening", self.whitening, asymmetric.WHITENINGS),
            ("over", self.over, ("classes", "queries")),
        ):
            if value is not None and value not in known:
                raise ConfigError(f"--{name} {value}: {suggest(value, known)}")
        if self.whitening is not None and self.gallery is not None:
            raise ConfigError(
                "--whitening beside --gallery: the two models would need the same whitening. "
                "Whiten each alone with --save-model, if they share a training set"
            )


def evaluate_run(
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    splits: Sequence[str] | None = None,
    as_json: bool = False,
    options: Options | None = None,
) -> dict[str, dict[str, Any]]:
    """Measure a run's best model and print every metric.

    Results on the run's own data are also written to ``evaluation/<split>/`` of the run. What is
    finished is kept in ``unfinished/`` until all is: killed and called again, the evaluation goes
    on where it was. Under ``torchrun`` the processes share the work, to the same bits.

    Args:
        folder: a run folder; or, together with ``dataset=…``, a model folder or a backbone's name.
        overrides: other data sets (``dataset=[cub,sop]``), or other settings of evaluation; of a
            backbone also its own, such as ``model.pretrained=FILE``.
        splits: which; by default every split named test… or val….
        as_json: print JSON instead of tables.
        options: another gallery, another image size, whitening, figures of each class.

    Returns:
        split (or data set and split, or title of an average) → ``{"values", "intervals",
        "definitions", …}``; nothing on the processes beside the main one.

    Raises:
        ConfigError: options that do not go together.
        ModelError: no model there.
        DataError: the data has no such split.
    """
    options = options or Options()
    options.check()
    distributed.start()
    try:
        return _run(Path(folder), overrides, splits, options, as_json=as_json)
    finally:
        distributed.stop()


def _run(
    folder: Path,
    overrides: Sequence[str],
    splits: Sequence[str] | None,
    options: Options,
    *,
    as_json: bool,
) -> dict[str, dict[str, Any]]:
    console = Console(silent=as_json or not distributed.is_main())
    words, others = split_words(overrides)
    model = asymmetric.load_model(folder, options.image_size, "--image-size", words)
    asked = benchmarks(folder, others)
    for one in asked:
        check_metrics(one.config.evaluation)
    found = [evaluated_table(folder, one) for one in asked]
    asked, tables = [one for one, _ in found], [table for _, table in found]
    progress = EvaluationProgress.at(folder, console)
    ready.introduce(folder, model, console.say)
    if options.whitening is not None:
        evaluated = asked[0].config, tables[0]
        model = _whitened(model, folder, others, evaluated, options, progress)
    found = [
        _measure(model, folder, one, table, splits, options, progress)
        for one, table in zip(asked, tables, strict=True)
    ]
    main = distributed.is_main()
    distributed.barrier()
    distributed.stop()  # what follows is the main process's alone
    if not main:
        return {}
    by_data = list(zip(asked, tables, found, strict=True))
    results = _shown(by_data, model, folder, options, console)
    progress.end()
    if as_json:
        print(json.dumps(results, indent=2))
    return results


def _shown(
    by_data: Sequence[tuple[Benchmark, Table, list[SplitResult]]],
    model: Embedder,
    folder: Path,
    options: Options,
    console: Console,
) -> dict[str, dict[str, Any]]:
    """Print what was measured on each data set, write what is the run's own, and return it all."""
    sections: list[EvaluationSection] = []
    results: dict[str, dict[str, Any]] = {}
    said: list[str] = []
    reranked: dict[str, dict[str, Any]] = {}
    for one, table, measured in by_data:
        if one.own and options.plain:
            for part in measured:
                part.save(Run(folder).evaluation(part.split))
        prefix = f"{table.name}/" if len(by_data) > 1 else ""
        beside: dict[str, Beside] = {}
        # Several data sets share one table, in which baselines have no place unless asked for.
        asked = len(by_data) == 1 or one.config.evaluation.baselines is True
        if options.plain and asked and baselines.wanted(one.config):
            beside = verdict.beside(measured, model, folder, one)
        sections += _sections(measured, one.config, prefix, options, beside)
        results |= _results(measured, table.name, one.config, prefix, options, beside)
        said += [f"{prefix}{words}" for b in beside.values() for words in b.words]
        reranked |= _reranked(measured, prefix, folder, one.own, options, console)
    console.show(*metric_tables(sections))
    if options.by_class:
        per_class.show(console, results)
    for split, entry in reranked.items():
        reranking.show(console, split, entry["reranking"], entry["levels"])
        results[split]["reranking"] = entry["reranking"]
    for words in said:
        console.say(words)
    return results


def _measure(
    model: Embedder,
    folder: Path,
    one: Benchmark,
    table: Table,
    splits: Sequence[str] | None,
    options: Options,
    progress: EvaluationProgress,
) -> list[SplitResult]:
    """Every split of one data set, and each direction of two models."""
    config = one.config
    device = pick_device(config.device)
    model.to(device)
    both = None
    if options.gallery is not None:
        other = asymmetric.load_model(
            options.gallery, options.gallery_image_size, "--gallery-image-size"
        )
        both = asymmetric.pair(
            model, other.to(device), (folder, options.gallery), symmetric=options.symmetric
        )
    for note in table.notes:
        progress.console.say(note)
    found = []
    for split in _chosen(table, splits):
        if both is not None:
            found += both.measure(table, split, config, progress)
            continue
        one_split = evaluator.measure(
            model,
            table,
            split,
            config.evaluation,
            workers=config.workers,
            broken=broken_policy(config),
            precision=pick_precision(config.precision, device),
            progress=progress,
        )
        found += [one_split, *narrower(one_split, model, config.evaluation, progress)]
    return found


def _chosen(table: Table, splits: Sequence[str] | None) -> list[str]:
    chosen = list(splits) if splits else table.evaluation_splits
    if not chosen:
        raise DataError(
            f"{table.name} has no test or val split (it has: {', '.join(table.splits)}). Name one: "
            "--split train"
        )
    for split in chosen:
        if split not in table.splits:
            raise DataError(f"--split {split}: no such split. {suggest(split, table.splits)}")
    return chosen


def _whitened(
    model: Embedder,
    folder: Path,
    overrides: Sequence[str],
    evaluated: tuple[Config, Table],
    options: Options,
    progress: EvaluationProgress,
) -> Embedder:
    """The model with a whitening learned on the images it was trained on.

    A model folder does not say which those were; then those of the data evaluated serve.
    """
    config, table = evaluated
    if (folder / "config.yaml").is_file():
        config = own_config(folder, [o for o in overrides if o.startswith("data_root=")])
        _, table = evaluated_table(folder, Benchmark(config, own=False, is_runs=True))
    if "train" not in table.splits:
        raise DataError(
            f"--whitening: {table.name} has no train split to learn on; give a run folder, or a "
            "data set that has one"
        )
    training = table.split("train")
    model.to(pick_device(config.device))
    assert options.whitening is not None
    model = asymmetric.whitened(
        model, options.whitening, options.whitening_size, training, config, progress
    )
    progress.console.say(
        f"whitening: {options.whitening}, {counted(model.width, 'dimension')}, learned on "
        f"{counted(len(training), 'image')} of {table.name}"
    )
    if options.save_model is not None and distributed.is_main():
        weights.save(model, options.save_model)
        progress.console.say(f"model    {options.save_model}")
    return model


def _sections(
    measured: Sequence[SplitResult],
    config: Config,
    prefix: str,
    options: Options,
    beside: Mapping[str, Beside],
) -> list[EvaluationSection]:
    sections = []
    for one in measured:
        section = numbers(one, options.over)
        others = list(beside[one.split].values.items()) if one.split in beside else []
        sections.append(replace(section, split=f"{prefix}{one.split}", baselines=others))
    if not _directed(measured):
        found = mean_sections(measured, config.evaluation)
        sections += [replace(one, split=f"{prefix}{one.split}") for one in found]
    return sections


def _directed(measured: Sequence[SplitResult]) -> bool:
    """Whether they are directions of one split, which are not averaged."""
    return any("→" in one.split for one in measured)


def _results(
    measured: Sequence[SplitResult],
    data: str,
    config: Config,
    prefix: str,
    options: Options,
    beside: Mapping[str, Beside],
) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    for one in measured:
        found = {
            "data": data,
            "fingerprint": one.table.fingerprint,
            "notes": list(one.table.notes),
            **one.report.to_dict(),
            "intervals_over_classes": _intervals(one, "classes"),
            "intervals_over_queries": _intervals(one, "queries"),
        }
        if one.split in beside:
            found |= beside[one.split].to_dict()
        if options.by_class:
            found |= per_class.figures(one)
        results[f"{prefix}{one.split}"] = found
    averaged = {} if _directed(measured) else means_of(measured, config.evaluation)
    for title, values in averaged.items():
        results[f"{prefix}{title}"] = {"data": data, "values": values}
    return results


def _reranked(
    measured: Sequence[SplitResult],
    prefix: str,
    folder: Path,
    own: bool,
    options: Options,
    console: Console,
) -> dict[str, dict[str, Any]]:
    """What each re-ranking gives on each split; written beside the report where that was."""
    found = {}
    for one in measured if options.rerank else ():
        methods = reranking.chosen(options.rerank)
        console.say(f"re-ranking {prefix}{one.split} by {', '.join(methods)}")
        figures = reranking.figures(one, reranking.measure(one, methods), options.over)
        if own and options.plain:
            reranking.save(figures, Run(folder).evaluation(one.split))
        found[f"{prefix}{one.split}"] = {"reranking": figures, "levels": one.table.levels}
    return found


def _intervals(one: SplitResult, over: str) -> dict[str, tuple[float, float] | None]:
    found = one.report.intervals(over=over, level=one.level)
    return {name: None if math.isnan(low) else (low, high) for name, (low, high) in found.items()}
