"""Options that several commands take, each with its help text.

Light: ``--help`` imports this file, and all verbs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lookalike.errors import ConfigError, LookalikeError


def _checked(overrides: list[str] | None) -> list[str]:
    """Refuse a mistyped group or option before anything heavy is imported."""
    from lookalike.compose import check_words

    check_words([word for word in overrides or [] if not word.startswith("dataset=[")])
    return overrides or []


def there(remedy: str = "", *, names: bool = False) -> Callable[[Any], Any]:
    """A check of a typer argument: its paths lie on the disk, told before anything is imported.

    Args:
        remedy: a sentence that says what to give.
        names: what has no folder before it may also be a name, and hf:// an address.
    """

    def check(given: Path | list[Path] | None) -> Path | list[Path] | None:
        for path in [given] if isinstance(given, Path) else given or []:
            text = str(path)
            may_be_named = names and (os.sep not in text or text.startswith("hf:"))
            if not may_be_named and not path.expanduser().exists():
                raise LookalikeError(f"{path} does not exist.{' ' * bool(remedy)}{remedy}")
        return given

    return check


MODELS = "Give a run folder, a model folder, hf://OWNER/NAME or the name of a backbone."
_INDEX = "Make an index: lookalike index build MODEL FOLDER --out INDEX"

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OPTION=VALUE]...",
        help="Groups and options, e.g. dataset=cub loss=smooth_ap optimizer.lr=1e-4. "
        "recipe=my.yaml reads them from a file, config=runs/x from a run. "
        "`lookalike config` prints them all.",
        show_default=False,
        callback=_checked,
    ),
]
DataOptions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[OPTION=VALUE]...", help="Options of the data set.", show_default=False
    ),
]
ModelFolder = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A run folder, a model folder, hf://OWNER/NAME, or the name of a backbone "
        "(with model.pretrained=FILE where its weights lie in a file).",
        callback=there(MODELS, names=True),
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run folder.", callback=there("Give a run folder."))
]


def _known_data(source: str) -> str:
    from lookalike.compose import check_words

    check_words([f"dataset={source}"])
    return source


def _known_images(source: str) -> str:
    there("Give a folder, a table file or the name of a data set.", names=True)(Path(source))
    return source


DataSource = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="The name of a data set, a folder or a table file.",
        callback=_known_data,
    ),
]

IndexFolder = Annotated[
    Path, typer.Argument(metavar="INDEX", help="An index folder.", callback=there(_INDEX))
]
Images = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER|TABLE",
        help="The images: a folder, a table file or the name of a data set.",
        callback=_known_images,
    ),
]
GallerySplit = Annotated[
    str | None, typer.Option("--split", help="Index only the gallery rows of this split.")
]
BatchSize = Annotated[int, typer.Option(min=1, max=1_000_000, help="Images per batch.")]
Workers = Annotated[int, typer.Option(min=0, max=1024, help="Processes that read images.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Condition on a column: COLUMN=VALUE, also with !=, <, > and ~ (contains); repeatable."
    ),
]
LabelColumn = Annotated[
    str | None, typer.Option("--label", help="Column with the labels; default: the finest level.")
]

RerankMethod = Literal["exact", "average_qe", "alpha_qe", "dba", "k_reciprocal", "diffusion"]
Unit = Annotated[
    Literal["classes", "queries"],
    typer.Option("--over", help="Resampling unit of intervals and tests: classes or queries."),
]
PicklePath = Annotated[
    Path | None, typer.Option(help="Also write a pickle in the format of the PSS code.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option(help="File to write.")]
TrueLabel = Annotated[
    str, typer.Option("--label", help="Column with the true labels, if there is one.")
]

# Also spelt --resume=auto, which `cli.main` understands: a flag of typer takes no value.
AUTO = "--auto-resume"
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Resume the run in run=FOLDER. With --resume=auto: start it, resume it, or do "
        "nothing if it is finished.",
    ),
]
AutoResume = Annotated[bool, typer.Option(AUTO, hidden=True)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print plain lines, no progress bar.")]


def page_file(out: str | Path) -> Path:
    """The file of a page; refuses other endings than HTML's.

    >>> page_file("map.png")
    Traceback (most recent call last):
    lookalike.errors.ConfigError: --out map.png: that is a page; name a file.html.
    """
    if Path(out).suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: that is a page; name a file.html.")
    return Path(out)
