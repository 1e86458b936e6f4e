"""``lookalike list``: what there is, one line each."""

from __future__ import annotations

import inspect
from typing import Annotated, Literal

import typer


def run(
    what: Annotated[
        Literal[
            "losses",
            "models",
            "datasets",
            "samplers",
            "miners",
            "recipes",
            "metrics",
            "transforms",
            "pools",
            "optimizers",
            "schedules",
        ],
        typer.Argument(help="What to list."),
    ],
) -> None:
    """Say what there is, one line each: `lookalike list losses`."""
    from lookalike.console import Console

    listed = {
        "losses": lambda: _components("loss"),
        "datasets": lambda: _components("dataset"),
        "samplers": lambda: _components("sampler"),
        "miners": lambda: _components("miner"),
        "models": _models,
        "recipes": lambda: _files("recipe"),
        "transforms": lambda: _files("transform"),
        "pools": _pools,
        "optimizers": _optimizers,
        "schedules": _schedules,
        "metrics": _metrics,
    }
    rows = listed[what]()
    width = max((len(name) for name, _ in rows), default=0)
    console = Console()
    for name, text in rows:
        console.say(f"{name:{width}}  {text}")


def _components(group: str) -> list[tuple[str, str]]:
    from lookalike import components
    from lookalike.compose import choices

    rows = [
        (name, _first_line(components.find(group, name)))
        for name in sorted(components.public_names(group))
    ]
    listed = {name for name, _ in rows}
    return rows + [(name, _comment(group, name)) for name in choices(group) if name not in listed]


def _models() -> list[tuple[str, str]]:
    import timm

    from lookalike.models.backbones import OWN

    own = [(name, _first_line(network)) for name, network in OWN.items()]
    return own + [(name, "timm") for name in timm.list_models()]


def _files(group: str) -> list[tuple[str, str]]:
    from lookalike.compose import choices

    return [(name, _comment(group, name)) for name in choices(group)]


def _pools() -> list[tuple[str, str]]:
    from lookalike.models import pooling

    return [(name, pooling.WORDS[name]) for name in pooling.POOLS]


def _schedules() -> list[tuple[str, str]]:
    from lookalike.training import schedules

    return [(name, schedules.WORDS[name]) for name in schedules.SCHEDULES]


def _optimizers() -> list[tuple[str, str]]:
    import timm.optim

    from lookalike.training.optimizers import torch_optimizers

    own = torch_optimizers()
    known = {name.lower() for name in own}
    timms = timm.optim.list_optimizers()  # pyright: ignore
    return [(name, "torch") for name in own] + [(str(n), "timm") for n in timms if n not in known]


def _metrics() -> list[tuple[str, str]]:
    from lookalike.metrics import definitions

    return [(name, definitions.explain(name).plain) for name in definitions.names()]


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


def _comment(group: str, name: str) -> str:
    """The first comment of a YAML file that is not a directive."""
    from lookalike.compose import CONF

    for line in (CONF / group / f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and "@package" not in line:
            return line.removeprefix("# ")
    return ""
