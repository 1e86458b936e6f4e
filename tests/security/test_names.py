"""No file of a stranger names code that runs: every key of every file, and each way found."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from tests.security.conftest import BOOM, edited
from tests.security.keys import places, put

from lookalike import components, trust
from lookalike.compose import compose, from_yaml, read_config, to_yaml
from lookalike.config import Config
from lookalike.discover import loop
from lookalike.errors import ConfigError, LookalikeError, ModelError, RunError
from lookalike.jobs import evaluate, index_changes
from lookalike.models import weights
from lookalike.models.build import build_model
from lookalike.models.description import ModelFile
from lookalike.search.encoders import own_encoder
from lookalike.search.index import Index
from lookalike.search.manifest import Manifest
from lookalike.stored_config import import_paths

VALUES = [BOOM, {"name": BOOM}, {"backbone": BOOM}, [BOOM], [{"name": BOOM}], [f"loss={BOOM}"]]
CONFIG_PLACES = list(dict.fromkeys(place for place, _ in places(Config)))
MODEL_PLACES = list(dict.fromkeys(place for place, _ in places(ModelFile)))
INDEX_PLACES = list(dict.fromkeys(place for place, _ in places(Manifest)))


def mutants(content, where):
    """The content with each value at each place."""
    for place in where:
        for value in VALUES:
            for free in ("name", "extra", "backbone") if "*" in place else ("name",):
                other = copy.deepcopy(content)
                if put(other, place, value, free):
                    yield place, other


# ── the kind: every key of every file ───────────────────────────────────────────────────────────


@pytest.mark.slow
def test_no_key_of_a_configuration_runs_anything(toy, elsewhere, unharmed):
    content = yaml.safe_load(to_yaml(compose([o for o in toy if not o.startswith("run=")])))
    refused = 0
    for _, other in mutants(content, CONFIG_PLACES):
        try:
            config = from_yaml(yaml.safe_dump(other))
        except LookalikeError:
            refused += 1
            continue
        assert not list(import_paths(yaml.safe_load(to_yaml(config))))
        for make in (build_model, components_of):
            try:
                make(config)
            except LookalikeError:
                refused += 1
    assert refused > len(CONFIG_PLACES)


def components_of(config):
    """Find and check all that a configuration names, short of drawing images."""
    from lookalike.data import transforms

    for group in components.ROOMS:
        components.check(group, getattr(config, group))
    for kind in ("train", "evaluation"):
        options = getattr(config.transform, kind)
        components.check_arguments(getattr(transforms, kind), options, kind)
        with suppress(TypeError, ValueError):  # odd values are another test's affair
            getattr(transforms, kind)(config.transform.size, **options)


@pytest.mark.slow
def test_no_key_of_a_model_runs_anything(strange_run, unharmed):
    file = strange_run / "model" / "model.json"
    content = json.loads(file.read_text())
    for _, other in mutants(content, MODEL_PLACES):
        file.write_text(json.dumps(other))
        try:
            weights.load(strange_run)
        except LookalikeError:
            continue


@pytest.mark.slow
def test_no_key_of_an_index_runs_anything(strange_index, unharmed):
    file = strange_index / "index.json"
    content = json.loads(file.read_text())
    for _, other in mutants(content, INDEX_PLACES):
        file.write_text(json.dumps(other))
        try:
            own_encoder(Index.open(strange_index))
        except LookalikeError:
            continue
    for value in (BOOM, f"{BOOM}.csv", "toy"):
        for overrides in ([], ["dataset.command=true"], [f"dataset={BOOM}"]):
            other = copy.deepcopy(content)
            other["source"] |= {"of": value, "overrides": overrides}
            file.write_text(json.dumps(other))
            with pytest.raises(RunError, match="index add"):
                index_changes.update(strange_index, workers=0)


# ── the instances ───────────────────────────────────────────────────────────────────────────────


def test_a_model_folder_that_names_a_command_is_refused_and_says_how_to_trust(
    strange_run, tmp_path
):
    def change(about):
        about["spec"] |= {"backbone": "os.system", "options": {"command": f"touch {tmp_path}/ran"}}

    edited(strange_run / "model" / "model.json", change)
    with pytest.raises(ModelError, match=r"model\.json: spec\.backbone: os\.system .*--trust os$"):
        weights.load(strange_run)
    with trust.trusting(["osmosis"]), pytest.raises(ModelError, match="--trust os"):
        weights.load(strange_run)
    assert not (tmp_path / "ran").exists()


def test_a_model_inside_an_index_too(strange_index, tmp_path):
    (file,) = strange_index.glob("models/*/model.json")
    edited(file, lambda about: about["spec"].update(backbone="os.system"))
    with pytest.raises(ModelError, match=r"os\.system .*--trust os$"):
        own_encoder(Index.open(strange_index))


def test_a_trusted_module_may_be_named(strange_run):
    edited(
        strange_run / "model" / "model.json",
        lambda about: about["spec"].update(backbone="lookalike.models.networks.conv4.Conv4"),
    )
    with pytest.raises(ModelError, match="--trust lookalike"):
        weights.load(strange_run)
    with trust.trusting(["lookalike.models.networks"]):
        assert weights.load(strange_run).width == 8


def test_options_of_a_network_that_fetch_or_read_elsewhere_are_refused(strange_run):
    for option in ("checkpoint_path", "cache_dir", "pretrained_cfg"):
        edited(
            strange_run / "model" / "model.json",
            lambda about, option=option: about["spec"].update(options={option: "/etc/passwd"}),
        )
        with pytest.raises(ModelError, match=rf"spec\.options\.{option} reaches beyond"):
            weights.load(strange_run)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"name": "os.system", "command": "true"}},
        {"loss": {"name": "weighted_sum", "losses": [{"name": "os.system"}]}},
        {"distillation": {"rank": {"name": "os.system"}}},
        {"teacher": "os.system"},
        {"transform": {"train": {"extra": ["os.system"]}}},
        {"transform": {"train": {"extra": {"name": "os.system"}}}},
        {"discover": {"finetune": ["loss=os.system"]}},
        {"discover": {"finetune": ["seed=${oc.env:HOME}"]}},
    ],
)
def test_a_run_that_names_a_command_is_refused(strange_run, change):
    file = strange_run / "config.yaml"
    content = yaml.safe_load(file.read_text()) | change
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"config\.yaml: .* would run code"):
        evaluate.run(strange_run)


def test_a_loop_s_words_name_no_command(tmp_path, elsewhere):
    for words in (["loss=os.system"], ["loss=recall", "data_root=${oc.env:HOME}"]):
        for said in (words, {"words": words}):
            (tmp_path / "words.json").write_text(json.dumps(said))
            with pytest.raises(ConfigError, match="would run code"):
                loop._words(tmp_path)
    (tmp_path / "words.json").write_text(json.dumps(["loss=recall", "model.weights=runs/a.b/c"]))
    assert loop._words(tmp_path) == ["loss=recall", "model.weights=runs/a.b/c"]


def test_variables_and_home_folders_are_letters_in_a_file(toy, monkeypatch, elsewhere):
    monkeypatch.setenv("SECRET", "hunter2")
    content = yaml.safe_load(to_yaml(compose([o for o in toy if "root" not in o])))
    content |= {"published": [{"source": "${oc.env:SECRET} \\${x}"}], "data_root": "~/$HOME"}
    text = yaml.safe_dump(content)
    config = from_yaml(text)
    assert config.published == content["published"]
    assert config.data_root == "./~/$HOME"
    typed = from_yaml(text, ["data_root=~/photos", "dataset.seed=${oc.decode:'7'}"])
    assert typed.data_root == str(Path.home() / "photos")
    assert typed.dataset["seed"] == 7


def test_a_stranger_s_run_writes_and_tells_nowhere_else(toy, caplog, elsewhere):
    config = compose([o for o in toy if "root" not in o])
    config.dataset |= {"root": "/somewhere/else", "cache": "/somewhere"}
    config.tracker, config.distillation.cache = "wandb", "/somewhere"
    found = from_yaml(to_yaml(config), source="config.yaml")
    assert found.tracker is None and found.distillation.cache is None
    assert not {"root", "cache"} & set(found.dataset)
    assert "dataset.root is not followed" in caplog.text


def test_every_place_that_a_data_set_writes_to_is_known():
    import inspect

    for name in components.public_names("dataset"):
        accepted, _ = components.parameters(components.find("dataset", name))
        paths = {n for n, p in accepted.items() if "Path" in str(p.annotation)}
        # root and images are read; toy alone draws into its root
        assert paths <= {"root", "pictures", "images", "cache"}, name
        writes = "cache" if "cache" in accepted else "root" if name == "toy" else None
        if writes is not None:
            assert accepted[writes].default is None, name
    assert inspect.isfunction(components.find("dataset", "toy"))


# ── what is one's own ───────────────────────────────────────────────────────────────────────────


def test_what_this_user_made_opens_without_a_flag(tmp_path, toy):
    from lookalike.compose import write_config
    from lookalike.models.create import create_model

    name = "lookalike.models.networks.conv4.Conv4"
    model = create_model(name, pretrained=False, embedding_size=4, size=28)
    weights.save(model, tmp_path / "model")
    assert weights.load(tmp_path / "model").spec.backbone == name
    config = compose([*toy, "loss=tests.jobs.odd_parts.Pull"])
    write_config(tmp_path / "config.yaml", config)
    assert read_config(tmp_path / "config.yaml") == config
    # One letter changed, or a mark of another file: a stranger's again.
    text = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("odd_parts.Pull", "odd_parts.Hole"))
    with pytest.raises(ConfigError, match="--trust tests"):
        read_config(tmp_path / "config.yaml")
    edited(tmp_path / "model" / "model.json", lambda a: a.update(teacher="0" * 64))
    with pytest.raises(ModelError, match="--trust lookalike"):
        weights.load(tmp_path / "model")


def test_the_secret_is_the_user_s_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert not trust.is_own("text", "kind", "0" * 64)
    assert not trust.secret_file().exists()  # looking makes none
    mark = trust.mark_of("text", "kind")
    assert trust.is_own("text", "kind", mark) and not trust.is_own("text", "other", mark)
    assert not trust.is_own("texts", "kind", mark) and not trust.is_own("text", "kind", None)
    secret = trust.secret_file()
    assert secret.stat().st_mode & 0o777 == 0o600 and len(secret.read_bytes()) == 32
    assert [p.name for p in secret.parent.iterdir()] == ["secret"]
    secret.chmod(0o644)
    assert not trust.is_own("text", "kind", mark)
    assert "not yours alone" in caplog.text


def test_old_runs_of_built_in_parts_open(strange_run):
    assert weights.load(strange_run).width == 8
    assert read_config(strange_run / "config.yaml").loss["name"]


# ── the current folder ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("program", [["lookalike"], ["python", "-m", "lookalike"]])
def test_files_of_the_current_folder_are_not_imported_unless_asked_for(tmp_path, program):
    for name in ("numexpr", "bottleneck", "yaml", "typer"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')")
    (tmp_path / "mine.py").write_text("from lookalike.losses import SmoothAP as Own\n")
    words = [str(Path(sys.executable).parent / program[0]), *program[1:]]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for verb in (
        ["data", "check", "toy", "dataset.families=1", "dataset.genera=1", "--no-pictures"],
        ["config", "loss=mine.Own"],
    ):
        if verb[0] == "config":  # a folder that one names is searched, behind all that is installed
            for name in ("numexpr", "bottleneck"):
                (tmp_path / f"{name}.py").unlink()
        found = subprocess.run(
            [*words, *verb], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stderr
