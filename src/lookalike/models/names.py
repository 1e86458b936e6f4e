"""How a model is named on a command line: by a folder, an address, or its backbone and options.

Light: imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lookalike.models import hub

_GROUPS = ("model", "transform")


def split_words(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options of a backbone, and all others.

    >>> split_words(["model.pretrained=w.pth", "dataset.root=x"])
    (['model.pretrained=w.pth'], ['dataset.root=x'])
    """
    own = [o for o in overrides if o.partition("=")[0].partition(".")[0] in _GROUPS]
    return own, [o for o in overrides if o not in own]


def is_backbone(source: str | Path) -> bool:
    """Whether a model is named by its backbone: no path there, and not an address."""
    return not hub.is_address(source) and not Path(source).expanduser().exists()
