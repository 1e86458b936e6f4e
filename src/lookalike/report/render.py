"""Pages from the templates of this folder; the engine escapes every text, no caller has to."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lookalike.errors import DataError, counted
from lookalike.report.contents import RunReport
from lookalike.report.figures import format_interval, format_value
from lookalike.report.images import ImageSource, data_uri, thumbnail
from lookalike.report.tables import escape_markdown

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment
    from markupsafe import Markup

# Pixels kept of an image's longer side: enough for a dense screen at the size style.css shows.
STORED = 160
# What HTML or UTF-8 forbids.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")


@dataclass(frozen=True)
class Part:
    """One section of a page.

    Attributes:
        title: its heading.
        template: the file that draws it, without ``.html.j2``.
        data: what the template gets as ``data``.
    """

    title: str
    template: str
    data: Any = None


def render(template: str, /, **values: Any) -> Markup:
    r"""A template filled in; what HTML forbids becomes U+FFFD.

    >>> str(render("text.html.j2", data=["<b>\x00"])).strip()
    '<p>&lt;b&gt;\ufffd</p>'
    """
    from markupsafe import Markup

    text = _environment().get_template(template).render(**values)
    return Markup(_FORBIDDEN.sub("\ufffd", text.replace("\r\n", "\n")))


def render_page(frame: RunReport, parts: Sequence[Part]) -> str:
    """One HTML file: nothing outside it is needed to read it, and nothing in it runs.

    Args:
        frame: title, subtitle, date and notes.
        parts: the sections.
    """
    return str(render("page.html.j2", frame=frame, parts=parts))


def asset(name: str) -> Markup:
    """A file beside this one, such as ``style.css``, to stand in a page as it is."""
    from markupsafe import Markup

    return Markup(files("lookalike.report").joinpath(name).read_text("utf-8"))


def asset_hash(name: str) -> str:
    """The source expression by which a page's policy lets that script run, and no other.

    >>> asset_hash("map_page.js")[:7]
    'sha256-'
    """
    digest = hashlib.sha256(asset(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def shown_image(source: ImageSource) -> dict[str, Any]:
    """What an ``img`` needs, or the reason why there can be none."""
    try:
        image = thumbnail(source, STORED)
    except DataError as error:
        return {"error": str(error)}
    width, height = image.size
    # Small images are shown pixel by pixel; a blur would hide what the model saw.
    kind = "pixels" if max(image.size) <= 32 else ""
    return {"src": data_uri(image), "width": width, "height": height, "kind": kind, "error": ""}


@cache
def _environment() -> SandboxedEnvironment:
    from jinja2 import PackageLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    environment = SandboxedEnvironment(
        loader=PackageLoader("lookalike.report"),
        autoescape=lambda name: name is None or not name.endswith(".md.j2"),
        undefined=StrictUndefined,
        finalize=_written,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters |= {
        "value": format_value, "interval": format_interval, "md": escape_markdown,
    }  # fmt: skip
    environment.globals |= {
        "asset": asset, "asset_hash": asset_hash, "counted": counted, "shown_image": shown_image,
    }  # fmt: skip
    return environment


def _written(value: Any) -> Any:
    """Coordinates of drawings need two decimals at most; None is nothing."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return "" if value is None else value
