"""Models on the Hugging Face hub: ``hf://OWNER/NAME`` and ``hf://OWNER/NAME@REVISION``."""

from __future__ import annotations

import re
from pathlib import Path

from lookalike.errors import ConfigError, ModelError

# A Path makes one slash of two.
_ADDRESS = re.compile(r"hf:/{1,2}(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?/?")
FILES = ("model.json", "model.safetensors")


def is_address(path: str | Path) -> bool:
    """Whether a path names a place on the hub.

    >>> (
    ...     is_address("hf://someone/birds"),
    ...     is_address(Path("hf://someone/birds")),
    ...     is_address("runs/x"),
    ... )
    (True, True, False)
    """
    return str(path).startswith("hf:/")


def parse(address: str | Path) -> tuple[str, str | None]:
    """Repository and revision of an address.

    Raises:
        ConfigError: it names none.

    >>> parse("hf://someone/birds@v2")
    ('someone/birds', 'v2')
    """
    match = _ADDRESS.fullmatch(str(address))
    if match is None:
        raise ConfigError(f"{address}: write hf://OWNER/NAME or hf://OWNER/NAME@REVISION.")
    return match["repo"], match["revision"]


def local(path: str | Path) -> Path:
    """A path as it is; an address of the hub as the folder that its two files were fetched to.

    Only weights in safetensors and JSON are fetched. A description that would import code (a
    network of one's own) is refused when it is read, see `lookalike.models.description`.

    Raises:
        ConfigError: an address that cannot be.
        ModelError: nothing there, or it cannot be reached.
    """
    if not is_address(path):
        return Path(path).expanduser()
    repo, revision = parse(path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repo, revision=revision, allow_patterns=[*FILES]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"hf://{repo} cannot be fetched ({type(error).__name__}: {reason}). Check the name and "
            "the connection; a private model needs `hf auth login`; one that was fetched before "
            "is found offline too."
        ) from error
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"hf://{repo} is not a model of lookalike: it has no {' and no '.join(missing)}."
        )
    return folder
