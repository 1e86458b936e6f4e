"""Fetching a file over the network: resumed, checked, and there whole or not at all."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from typing import Any, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lookalike.errors import DataError, counted

_CHUNK = 1 << 18


def download(
    url: str,
    file: str | Path,
    *,
    checksum: str | None = None,
    attempts: int = 5,
    wait_s: float = 2.0,
    timeout_s: float = 60.0,
    progress: Callable[[int, int | None], Any] | None = None,
) -> Path:
    """Fetch a file. What is there is checked and kept; what was begun is continued.

    Bytes are gathered in ``FILE.part`` until they are all there and right.

    Args:
        url: http, https, ftp or file address.
        file: where it goes.
        checksum: ``"md5:…"`` or ``"sha256:…"``.
        attempts: how often to try when the connection breaks.
        wait_s: seconds before the second try, doubled for each further one.
        timeout_s: seconds without a byte after which the connection counts as broken.
        progress: called with the bytes there and the bytes in all (None where not known).

    Raises:
        DataError: an address that answers with an error, a connection that breaks too often, a
            checksum that differs, or a full disk.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a").write_text("hello")
        >>> md5 = "md5:5d41402abc4b2a76b9719d911017c592"
        >>> download((folder / "a").as_uri(), folder / "b", checksum=md5).read_text()
        'hello'
    """
    target = Path(file)
    check = _Checksum(checksum)
    if target.exists():
        check.compare(target, "is there, but is not what was published; remove it and try again")
        return target
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _gather(url, part, attempts, wait_s, timeout_s, progress)
    except OSError as e:
        raise DataError(f"{target}: cannot be written: {e.strerror or e}") from None
    try:
        check.compare(part, "is not what was published: fetched wrongly, or changed at the source")
    except DataError:
        part.unlink()  # continuing it would only add to what is wrong
        raise
    part.replace(target)
    return target


def _gather(
    url: str,
    part: Path,
    attempts: int,
    wait_s: float,
    timeout_s: float,
    progress: Callable[[int, int | None], Any] | None,
) -> None:
    for attempt in range(1, attempts + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            if _fetch(url, part, timeout_s, progress):
                return
            reason = "the connection ended early"
        except HTTPError as e:
            if e.code < 500 and e.code not in (408, 429):
                raise DataError(f"{url}: the server says {e.code} {e.reason}") from None
            reason = f"the server says {e.code} {e.reason}"
        except (URLError, HTTPException, TimeoutError, ConnectionError, SSLError) as e:
            reason = str(getattr(e, "reason", e) or type(e).__name__)
        if attempt == attempts:
            kept = f"; what came is kept in {part} and continued next time" if part.exists() else ""
            raise DataError(
                f"{url}: not fetched in {counted(attempts, 'attempt')} ({reason}){kept}"
            )
        after = part.stat().st_size if part.exists() else 0
        time.sleep(0 if after > before else wait_s * 2 ** (attempt - 1))


def _fetch(
    url: str, part: Path, timeout_s: float, progress: Callable[[int, int | None], Any] | None
) -> bool:
    """Fetch what is missing of a file; whether it is whole now, as far as the server tells."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(url, headers={"User-Agent": "lookalike"})
    if have and url.startswith("http"):
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urlopen(request, timeout=timeout_s)
    except HTTPError as e:
        if e.code == 416 and have:  # nothing is missing, or the file is another one now
            total = _total(e.headers.get("Content-Range"))
            if total == have:
                return True
            part.unlink()
            return False
        raise
    with answer:
        continued = getattr(answer, "status", None) == 206
        if continued and _start(answer.headers.get("Content-Range")) != have:
            part.unlink()
            return False
        have = have if continued else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with part.open("ab" if continued else "wb") as out:
            have = _copy(answer, out, have, total, progress)
    return total is None or have == total


def _copy(
    answer: Any,
    out: BinaryIO,
    have: int,
    total: int | None,
    progress: Callable[[int, int | None], Any] | None,
) -> int:
    while chunk := answer.read(_CHUNK):
        out.write(chunk)
        have += len(chunk)
        if progress is not None:
            progress(have, total)
    return have


def _start(content_range: str | None) -> int:
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else -1


def _total(content_range: str | None) -> int:
    found = re.match(r"bytes \*/(\d+)", content_range or "")
    return int(found[1]) if found else -1


class _Checksum:
    """A published checksum, or none."""

    def __init__(self, text: str | None) -> None:
        self.kind, _, self.value = (text or "").partition(":")
        if text and (self.kind not in ("md5", "sha256") or not self.value):
            raise DataError(f"checksum {text!r}: write md5:… or sha256:…")

    def compare(self, file: Path, what: str) -> None:
        if not self.kind:
            return
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, self.kind).hexdigest()
        if found != self.value.lower():
            raise DataError(f"{file}: {what} ({self.kind} {found}, published {self.value})")
