from __future__ import annotations

import inspect
from dataclasses import fields, replace
from itertools import pairwise

import pytest

from lookalike import components
from lookalike.compose import (
    CONF,
    Override,
    check_words,
    choices,
    compose,
    from_yaml,
    to_yaml,
    with_defaults,
    write_config,
)
from lookalike.config import Config, ModelConfig
from lookalike.config_text import explained, meaning_of
from lookalike.data import transforms
from lookalike.errors import ConfigError


def test_groups_and_overrides_compose():
    config = compose(
        ["dataset=cub", "loss=sup_ap", "model=resnet34", "optimizer.lr=1e-3", "loss.tau=0.05"]
    )
    assert config.dataset == {"name": "cub"}
    assert config.loss == {"name": "sup_ap", "tau": 0.05}
    assert config.model.backbone == "resnet34"
    assert config.optimizer.lr == 1e-3


def test_recipe_sets_groups_and_the_command_line_has_the_last_word():
    config = compose(["recipe=demo", "epochs=3"])
    assert config.recipe == "demo"
    assert config.dataset["name"] == "toy"
    assert config.model.backbone == "conv4"
    assert config.epochs == 3


def test_a_group_chosen_beside_a_recipe_drops_the_recipes_options_for_it(caplog):
    config = compose(["recipe=demo", "model=resnet18"])
    assert config.model == ModelConfig(backbone="resnet18", pool="gem")
    assert config.epochs == 15 and config.transform.size == 64
    assert caplog.messages == [
        "note: recipe=demo: its model.options fell away beside what you chose; give it again to "
        "keep it."
    ]
    config = compose(["recipe=pp/cub_resnet50", "loss=norm_softmax", "dataset=cars196"])
    assert config.loss == {"name": "norm_softmax"} and config.published == []
    assert config.recipe == "pp/cub_resnet50" and config.sampler["drop_last"] is False
    config = compose(["recipe=suprank/sop", "evaluation=in_shop"])
    assert config.evaluation.k == [1, 10, 20, 30, 40, 50] and config.evaluation.every == 20
    config = compose(["recipe=roadmap/cub_deit", "model=resnet50"])
    assert (config.model.pool, config.model.embedding_size) == ("auto", None)


def test_options_of_what_a_recipe_names_go_with_it():
    recipe = compose(["recipe=pp/cub_resnet50"])
    assert recipe.optimizer.options["delta"] == 0.1
    config = compose(
        ["recipe=pp/cub_resnet50", "optimizer.name=sgd", "optimizer.options.momentum=0.9"]
    )
    assert config.optimizer.options == {"momentum": 0.9} and config.optimizer.lr == 1e-4
    config = compose(["recipe=raml/cub", "optimizer.schedule=cyclic"])
    assert config.optimizer.schedule_options == {"shared_max_lr": True}
    config = compose(["recipe=raml/cub", "optimizer.schedule=cosine"])
    assert config.optimizer.schedule_options == {}
    config = compose(["recipe=demo", "model.backbone=resnet18", "model=conv4"])
    assert config.model.options == {} and config.model.backbone == "resnet18"


RECIPES = ["raml/cub", "smooth_ap/inat_vit", "suprank/dyml_vehicle", "demo"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_to_name_what_a_recipe_names_changes_nothing(recipe, caplog):
    """Its data set, loss, network, optimiser, schedule."""
    whole = compose([f"recipe={recipe}"])
    words = [
        f"dataset={whole.dataset['name']}",
        f"sampler={whole.sampler['name']}",
        f"loss={whole.loss['name']}",
        f"model.backbone={whole.model.backbone}",
        f"optimizer.name={whole.optimizer.name}",
        f"optimizer.schedule={whole.optimizer.schedule}",
    ]
    assert compose([f"recipe={recipe}", *words]) == whole
    assert compose([f"recipe={recipe}", f"model={whole.model.backbone}"]) == whole
    assert not caplog.messages


@pytest.mark.parametrize("spelling", ["smooth_ap", "SmoothAP", "smoothap"])
def test_a_loss_answers_to_any_spelling(spelling):
    assert compose([f"loss={spelling}"]).loss == {"name": spelling}


def test_a_loss_of_another_library_by_import_path():
    path = "pytorch_metric_learning.losses.MultiSimilarityLoss"
    assert compose([f"loss={path}", "loss.alpha=3"]).loss == {"name": path, "alpha": 3}


def test_a_folder_is_a_dataset(tmp_path):
    (tmp_path / "cat").mkdir()
    assert compose([f"dataset={tmp_path}"]).dataset == {"name": "folder", "root": str(tmp_path)}
    (tmp_path / "cache.json").write_text("{}")  # of `lookalike data cache`
    assert compose([f"dataset={tmp_path}"]).dataset == {"name": "cached", "root": str(tmp_path)}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("loss=smoth_ap", ["loss=smoth_ap", "Did you mean 'smooth_ap'?"]),
        ("recipe=dem", ["recipe=dem", "Did you mean 'demo'?"]),
        ("datset=cub", ["datset", "Did you mean 'dataset'?"]),
        ("optimzer.lr=1", ["optimzer.lr", "Did you mean 'optimizer'?"]),
        ("optimizer.lrr=1", ["optimizer.lrr", "Did you mean 'lr'?"]),
        ("evaluation.evry=1", ["evaluation.evry", "Did you mean 'every'?"]),
        ("loss.tua=1", ["loss.tua", "SmoothAP", "Did you mean 'tau'?"]),
        ("sampler.k=1", ["sampler.k", "MPerClassSampler", "takes no such argument"]),
        ("dataset.specis=1", ["dataset.specis", "Did you mean 'species'?"]),
        ("optimizer.lr=fast", ["optimizer.lr", "fast"]),
        ("epochs=many", ["epochs", "many"]),
        ("optimizer=1", ["optimizer=1"]),
        ("nowhere/at_all", ["nowhere/at_all", "option=value"]),
        ("dataset=./nowhere/at/all", ["./nowhere/at/all", "no such folder"]),
        ("loss=no.such.Thing", ["no.such.Thing", "cannot import"]),
        ("loss=lookalike.losses.Nothing", ["lookalike.losses", "Nothing"]),
        ("~loss", ["~loss"]),
    ],
)
def test_a_typo_is_refused_with_what_was_meant(override, words):
    with pytest.raises(ConfigError) as caught:
        compose([override])
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_data_root_comes_from_the_environment_unless_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("LOOKALIKE_DATA", str(tmp_path))
    assert compose(["dataset=cub"]).data_root == str(tmp_path)
    assert compose(["dataset=cub", "data_root=x"]).data_root == "x"


def test_home_and_variables_expand(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SOMEWHERE", "deep")
    assert compose(["dataset=cub", "data_root=~/d"]).data_root == str(tmp_path / "d")
    assert compose(["dataset=cub", "dataset.root=$SOMEWHERE/cub"]).dataset["root"] == "deep/cub"


def test_a_stored_config_reads_back():
    config = compose(["recipe=omniglot", "loss.tau=0.02", "evaluation.k=[1,10]"])
    assert from_yaml(to_yaml(config)) == config
    assert from_yaml(to_yaml(config), ["workers=0"]).workers == 0
    with pytest.raises(ConfigError, match=r"wrkers"):
        from_yaml(to_yaml(config), ["wrkers=0"])


@pytest.mark.slow
def test_every_choice_of_every_group_composes():
    for group in ("dataset", "transform", "sampler", "model", "loss", "recipe"):
        for choice in choices(group):
            compose([f"{group}={choice}"])


def test_a_free_mapping_is_given_whole_or_by_its_members():
    config = compose(["recipe=pss/inat", "discover.lander={hidden: 8}", "discover.lander.lr=0.1"])
    given = config.discover.lander
    assert (given["hidden"], given["lr"], given["inputs"]) == (8, 0.1, "vectors")


def test_override_parsing():
    assert Override.parse("a.b=c=d") == Override("a.b=c=d", "", "a.b", "c=d")
    assert Override.parse("++a=1").prefix == "++"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_as_a_file_and_the_configuration_of_a_run_begin_the_same(recipe, tmp_path):
    words = ["run=runs/x", "data_root=~/data"]
    whole = replace(compose([f"recipe={recipe}", *words]), recipe=None)
    (tmp_path / "mine.yaml").write_text((CONF / "recipe" / f"{recipe}.yaml").read_text())
    assert compose([f"recipe={tmp_path / 'mine.yaml'}", *words]) == whole
    write_config(tmp_path / "config.yaml", whole)
    again = compose([f"config={tmp_path}", "epochs=7"])
    assert again == replace(whole, run=None, epochs=7)
    (tmp_path / "config.yaml").write_text(explained(whole))
    told = with_defaults(whole)
    told.dataset.pop("cache", None)  # where to write is no stranger's to say
    assert compose([f"recipe={tmp_path}"]) == replace(told, run=None)


OWN = """
dataset: photos/labels.csv
model: conv4
model.embedding_size: 16
loss: {name: sup_ap, tau: 1e-2}
optimizer: {name: sgd}
optimizer.lr: 1e-2
"""


def test_a_recipe_of_ones_own_is_written_as_one_types(tmp_path, caplog):
    file = tmp_path / "my.yaml"
    file.write_text(OWN)
    config = compose([f"recipe={file}", "epochs=3"])
    assert config.dataset == {"name": "table_file", "root": "photos/labels.csv"}
    assert (config.model.backbone, config.model.pretrained) == ("conv4", False)
    assert config.model.embedding_size == 16 and config.loss == {"name": "sup_ap", "tau": 0.01}
    assert (config.optimizer.name, config.optimizer.lr, config.epochs) == ("sgd", 0.01, 3)
    assert config.recipe is None
    other = compose([f"recipe={file}", "loss=triplet"])
    assert other.loss == {"name": "triplet"} and "its loss.tau fell away" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("los: triplet", "los: no such option. Did you mean 'loss'?"),
        ("loss: tripet", "loss=tripet: there is no such loss. Did you mean 'triplet'?"),
        ("epochs: many", "epochs: expected a whole number, got a text"),
        ("- epochs", "holds no options"),
        ("defaults: [x]", "defaults: write `override /loss: smooth_ap`, not x"),
        ("model: {embedding_size: 4}\nmodel.embedding_size.x: 1", "holds a value already"),
        ("loss: os.system", "add --trust os"),
        ("loss: {name: weighted_sum, losses: [{name: os.system}]}", "add --trust os"),
    ],
)
def test_what_a_recipe_of_ones_own_cannot_say_is_refused_by_file_and_key(text, said, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        compose([f"recipe={file}"])
    assert str(file) in str(error.value) and said in str(error.value)


@pytest.mark.parametrize("group", components.ROOMS)
def test_every_argument_of_every_component_says_what_it_means(group):
    for name in components.public_names(group):
        component = components.find(group, name)
        taken = components.parameters(component)[0].keys() - set(components.FILLED.get(group, ()))
        assert [key for key in taken if not meaning_of(component, key)] == [], name


def test_every_option_says_its_value_default_and_meaning():
    lines = explained(compose(["loss=sup_ap", "loss.tau=0.02", "epochs=3"])).splitlines()
    assert "  tau: 0.02  # temperature of the sigmoid; default: 0.01" in lines
    assert "epochs: 3  # passes; how long one is, the sampler says; default: 20" in lines
    assert "    # flip: 0.5  # probability of a left-right flip." in lines
    for before, line in pairwise(["", *lines]):
        told = " # " in line or before.lstrip().startswith("#")
        assert told or line.endswith((":", " {}")) or line.lstrip().startswith("#"), line
    names = (*inspect.signature(transforms.train).parameters, "rounding", "crop")
    assert all(any(f"{name}:" in line for line in lines) for name in names if name != "size")
    assert all(f"{field.name}:" in " ".join(lines) for field in fields(Config))


def test_what_a_file_says_is_not_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "x")
    file = tmp_path / "my.yaml"
    file.write_text("dataset: {name: folder, root: $SECRET/a}\nmodel.weights: '${oc.env:SECRET}'")
    config = compose([f"recipe={file}"])
    assert config.dataset["root"] == "$SECRET/a" and config.model.weights == "${oc.env:SECRET}"


def test_a_run_begins_with_one_file_that_is_there(tmp_path):
    for words in (["config=a.yaml"], ["recipe=a.yaml"], [f"config={tmp_path}"]):
        with pytest.raises(ConfigError, match="there is no such file. Name a YAML file"):
            check_words(words)
    with pytest.raises(ConfigError, match="a run begins with one of them"):
        compose(["recipe=demo", f"config={tmp_path}"])
