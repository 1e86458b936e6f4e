"""A run as others can take it up, in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lookalike import documents
from lookalike.console import Console
from lookalike.data.build import build_table
from lookalike.errors import ConfigError, DataError, ModelError, RunError, counted
from lookalike.evaluation import own_split, run_report, saved
from lookalike.evaluation.benchmarks import own_config
from lookalike.evaluation.evaluator import SplitResult
from lookalike.files import is_free, replacing_folder, write_text
from lookalike.models import hub, weights
from lookalike.models.preprocessing import side
from lookalike.report.card import Card, limits, model_card
from lookalike.runs import DataPart, MachinePart, Run

_PRIVATE = ("run", "data_root")  # of a configuration: where things lie on one machine
_PATH = re.compile(r"(?<![\w:/.])(?:~|\.{1,2})?/(?:[^\s/=\[\],'\"]+/)*([^\s/=\[\],'\"]+)")


class FinishedRun(documents.Document):
    """``manifest.json`` of a run that has finished."""

    command: str
    versions: dict[str, str]
    machine: MachinePart
    data: DataPart
    epochs: documents.Count
    steps: documents.Count
    seconds: float


def publish(
    run: str | Path, *, to: str, licence: str | None, public: bool, overwrite: bool
) -> None:
    """Write weights, description, model card and recipe of a run; see `lookalike.jobs.publish`."""
    console = Console()
    source = Run.open(run)
    manifest = source.read_manifest()
    status = manifest["status"]
    if status != "finished":
        raise RunError(
            f"{run} is {status}, so there is no final model to publish. Go on with it: "
            f"lookalike train --resume run={run}"
        )
    documents.check(manifest, FinishedRun, str(source.manifest), fault=RunError)
    if not hub.is_address(to):
        out = Path(to).expanduser()
        published = (out / "model.json").is_file() and (out / "README.md").is_file()
        if not is_free(out) and not (overwrite and published):
            what = "Add --overwrite, or choose" if published else "Choose"
            raise RunError(f"{out} exists already. {what} another --to.")
        with replacing_folder(out) as part:
            _fill(source, part, out.name, licence, console)
        console.say(f"written  {out}")
        return
    repo, revision = hub.parse(to)
    if revision is not None:
        raise ConfigError(
            f"--to {to}: what is published becomes the newest; leave out @{revision}."
        )
    with tempfile.TemporaryDirectory() as place:
        _fill(source, Path(place), repo.split("/")[1], licence, console, address=f"hf://{repo}")
        _upload(Path(place), repo, public=public)
    console.say(f"written  hf://{repo} ({'public' if public else 'private'})")


def _fill(
    source: Run,
    folder: Path,
    title: str,
    licence: str | None,
    console: Console,
    address: str | None = None,
) -> None:
    model = weights.load(source.folder)
    for name in hub.FILES:
        shutil.copyfile(weights.model_folder(source.folder) / name, folder / name)
    config = own_config(source.folder)
    manifest = source.read_manifest()
    recipe = yaml.safe_dump(_public(_loaded(source)), sort_keys=False, allow_unicode=True)
    write_text(folder / "recipe.yaml", recipe)
    measured = _measured(source, config)
    sections = []
    for one in measured:
        section = run_report.numbers(one, "classes")
        section = replace(section, baselines=_baselines(source, one.split))
        sections.append(section)
        numbers = {"values": section.values, "intervals": section.intervals}
        place = folder / "evaluation" / f"{one.split}.json"
        write_text(place, json.dumps(_finite(numbers), indent=2) + "\n")
    card = Card(
        title=title,
        dataset=without_paths(str(manifest["data"]["name"])),
        backbone=model.spec.backbone,
        width=model.width,
        size=model.spec.size,
        parameters=sum(p.numel() for p in model.parameters()),
        preprocessing=repr(model.transform()),
        sections=sections,
        data=_data(manifest, measured),
        training=_training(manifest),
        recipe=recipe,
        command=without_paths(manifest["command"]),
        licence=licence,
        limits=limits(sections, _facts(source, config, manifest, measured)),
    )
    text = model_card(card)
    if address is not None:
        text = text.replace("hf://OWNER/NAME", address)
    write_text(folder / "README.md", text)
    hub_config = {
        "library_name": "lookalike",
        "architecture": model.spec.backbone,
        "num_features": model.width,
        "image_size": model.spec.size,
    }
    write_text(folder / "config.json", json.dumps(hub_config, indent=2) + "\n")
    shown = ", ".join(one.split for one in measured) or "none; the card says so"
    console.say(f"card     {title}: evaluations {shown}")


def _measured(source: Run, config: Any) -> list[SplitResult]:
    places = (source.folder / "evaluation").glob("*/embeddings.npy")
    names = sorted(place.parent.name for place in places)
    return [saved.load(source.folder, name, config.evaluation) for name in names]


def _baselines(source: Run, split: str) -> list[tuple[str, dict[str, float]]]:
    file = source.evaluation(split) / "baselines.json"
    if not file.is_file():
        return []
    found = documents.read_json(file, dict[str, dict[str, float]], fault=RunError)
    return list(found.items())


def _data(manifest: dict[str, Any], measured: list[SplitResult]) -> list[str]:
    data = manifest["data"]
    name = without_paths(str(data["name"]))
    lines = [f"{name}: {counted(data['pictures'], 'image')}, fingerprint `{data['fingerprint']}`."]
    lines += [f"{without_paths(note)}." for note in data["notes"]]
    for one in measured:
        classes = ", ".join(
            f"{len(set(one.table.labels[:, i].tolist()) - {-1}):,} {level}"
            for i, level in enumerate(one.table.levels)
        )
        size = counted(len(one.table), "image")
        lines.append(f"SplitResult on {one.split}: {size}; classes: {classes}.")
    return lines


def _training(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    versions = manifest["versions"]
    return [
        ("epochs", f"{manifest['epochs']}, {counted(manifest['steps'], 'step')}"),
        ("time", f"{manifest['seconds']:,.0f} s on {manifest['machine']['system']}"),
        ("with", f"lookalike {versions['lookalike']}, torch {versions.get('torch', '?')}"),
    ]


def _facts(
    source: Run, config: Any, manifest: dict[str, Any], measured: list[SplitResult]
) -> dict[str, Any]:
    unseen = None
    kept = own_split.record(source.folder)
    seen = kept.trained if kept is not None else None
    if seen is None:
        # A run of before that was kept: its data tell, unless they lie on another machine.
        with suppress(DataError):
            table = build_table(config)
            seen = set(table.split("train").frame[table.levels[0]].astype("str"))
    if seen and measured:
        tested = {str(x) for one in measured for x in one.table.frame[one.table.levels[0]]}
        unseen = not (seen & (tested - {"-1"}))
    return {"chosen": manifest.get("choice"), "unseen": unseen, "size": side(config)}


def _loaded(source: Run) -> dict[str, Any]:
    text = documents.read_text(source.config, fault=RunError)
    return documents.parse_yaml(text, str(source.config), fault=RunError)


def _public(value: Any) -> Any:
    """A configuration without the folders of this machine; of a path its last name stays."""
    if isinstance(value, dict):
        return {k: _public(v) for k, v in value.items() if k not in _PRIVATE}
    if isinstance(value, list):
        return [_public(v) for v in value]
    return without_paths(value) if isinstance(value, str) else value


def without_paths(text: str) -> str:
    """Words with each path cut to its last name.

    >>> without_paths("lookalike train dataset=/home/me/birds run=~/runs/x lr=1/2")
    'lookalike train dataset=birds run=x lr=1/2'
    """
    return _PATH.sub(r"\1", text)


def _finite(numbers: dict[str, Any]) -> dict[str, Any]:
    """NaN as None, at any depth."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [clean(one) for one in value]
        return None if isinstance(value, float) and value != value else value

    return clean(numbers)


def _upload(folder: Path, repo: str, *, public: bool) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        api = HfApi(library_name="lookalike")
        api.create_repo(repo, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Publish a model")
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"hf://{repo} cannot be written ({type(error).__name__}: {reason}). Log in with "
            "`hf auth login`, or publish to a folder and upload that."
        ) from error
