"""A recipe beside other choices: what of its options still applies, and what falls away.

A recipe's options are for the loss, the model, the optimiser that it names itself:
``recipe=roadmap/sop loss=triplet`` would else hand SupAP's arguments to a triplet loss. To name
what the recipe names already changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lookalike import components
from lookalike.config import ModelConfig, OptimizerConfig

if TYPE_CHECKING:
    from omegaconf import DictConfig

_SCHEDULE_OPTIONS = "lookalike.training.schedules.options_of"
_OF_BACKBONE = ("options", "freeze", "weights")  # of the model: they belong to one network


def fit(
    body: DictConfig, chosen: Mapping[str, str], file_of: Callable[[str, str], Any]
) -> list[str]:
    """Take out of a recipe what does not apply beside other choices.

    Args:
        body: the recipe; changed in place.
        chosen: options of the command line, key → value.
        file_of: group, choice → the options of that file of ``conf/``, or None.

    Returns:
        the options that fell away, such as ``loss.sup_ap``; what a choice replaces by its very
        nature (the name itself, a paper's figures beside another data set) is not among them.
    """
    own = _named(body)
    fallen: list[str] = []
    for group in (*components.ROOMS, "transform", "evaluation", "optimizer"):
        if group not in chosen or _same(chosen[group], own.get(group)):
            continue
        drops = _foreign(group, body, file_of(group, chosen[group]), chosen[group])
        fallen += _drop(body, group, drops)
        if group == "dataset":
            body.pop("published", None)
    if (model := _other_backbone(body, chosen, own)) is not None:
        fallen += _drop(body, "model", model)
    name = chosen.get("optimizer.name")
    if name is not None and not _same(name, _get(body, "optimizer.name", OptimizerConfig.name)):
        fallen += _drop(body, "optimizer", ["options"])
    schedule = chosen.get("optimizer.schedule")
    before = _get(body, "optimizer.schedule", OptimizerConfig.schedule)
    if schedule is not None and not _same(schedule, before):
        given = _get(body, "optimizer.schedule_options", {})
        taken = components.imported(_SCHEDULE_OPTIONS, option="optimizer.schedule")(schedule)
        others = [key for key in given if key not in taken]
        fallen += _drop(body, "optimizer.schedule_options", others)
    return [key for key in fallen if key not in chosen]


def _named(body: DictConfig) -> dict[str, str]:
    """What a recipe chooses for each group: ``override /loss: sup_ap``."""
    found = {}
    for line in body.get("defaults", []):
        for key, value in line.items():
            found[str(key).rpartition("/")[2]] = str(value)
    return found


def _same(one: str, other: str | None) -> bool:
    """Whether two words name one thing, in any spelling."""
    if other is None:
        return False
    return one == other or components.snake(one) == components.snake(other)


def _foreign(group: str, body: DictConfig, file: Any, choice: str) -> list[str]:
    """The recipe's options of a group that are not for another choice of it."""
    given = list(body.get(group, {}))
    if group in components.ROOMS:  # those that every component of the group takes stay
        common = components.common_parameters(group)
        return [key for key in given if key not in common]
    if file is None or choice == "default":
        return given
    return [key for key in given if key in file]


def _other_backbone(
    body: DictConfig, chosen: Mapping[str, str], own: Mapping[str, str]
) -> list[str] | None:
    """The model's options that are not for another network; None: it is the recipe's own."""
    before = _get(body, "model.backbone", own.get("model") or ModelConfig.backbone)
    group, backbone = chosen.get("model"), chosen.get("model.backbone")
    other = [name for name in (group, backbone) if name is not None and not _same(name, before)]
    if not other:
        return None
    token = ["pool"] if _get(body, "model.pool", "") == "token" else []
    return [*(["backbone"] if group is not None else []), *_OF_BACKBONE, *token]


def _drop(body: DictConfig, node: str, keys: list[str]) -> list[str]:
    from omegaconf import OmegaConf

    inner: Any = OmegaConf.select(body, node)
    if inner is None:
        return []
    found = [key for key in keys if key in inner]
    for key in found:
        del inner[key]
    return [f"{node}.{key}" for key in found if key not in ("name", "backbone")]


def _get(body: DictConfig, key: str, default: Any) -> Any:
    from omegaconf import OmegaConf

    found = OmegaConf.select(body, key)
    return default if found is None else found
