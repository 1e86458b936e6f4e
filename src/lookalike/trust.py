"""What may be believed of a file: written by this user on this machine, or by anybody.

Names and addresses come from two places. What a person *types* (on the command line, in Python, in
a recipe or a search space of their own) is obeyed. What is *read* from a run, a model or an index
may have been written by a stranger: it may name what lookalike and timm provide, and nothing else.

A file that lookalike writes carries a mark: HMAC-SHA256 over its content, keyed by a secret in the
user's own configuration folder (``$XDG_CONFIG_HOME``, else ``~/.config``, then
``lookalike/secret``). A file whose mark is right was written by this user, and opens as if typed.
Without one (an older run, another machine, another person) an import path needs ``--trust MODULE``
and a server's address ``--server ADDRESS``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from lookalike.errors import ConfigError, LookalikeError

log = logging.getLogger("lookalike")
MARK = "mark"  # the key of a JSON file, and the word of a YAML file's last line


class Origin(Enum):
    """Where a name, an address or an option comes from."""

    TYPED = "typed"
    READ = "read"

    @property
    def typed(self) -> bool:
        """Whether a person said it, or a file that bears this user's mark."""
        return self is Origin.TYPED


@dataclass
class _Said:
    """What the person trusts beyond what they type, for this process."""

    modules: set[str] = field(default_factory=set)
    servers: set[str] = field(default_factory=set)


_said = _Said()


@contextmanager
def trusting(modules: Iterable[str] = (), servers: Iterable[str] = ()) -> Iterator[None]:
    """Within it, files may name these modules' content, and these servers are asked.

    Args:
        modules: of Python, each with what it contains: ``mypackage``, ``mypackage.nets``.
        servers: addresses as indexes name them.

    Raises:
        ConfigError: no name of a module.
    """
    before = _Said(set(_said.modules), set(_said.servers))
    for name in modules:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"--trust {name}: write the name of a module, such as mypackage.")
        _said.modules.add(name)
    _said.servers.update(servers)
    try:
        yield
    finally:
        _said.modules, _said.servers = before.modules, before.servers


def is_trusted(name: str) -> bool:
    """Whether the person has said that a module's content may be named by a file.

    >>> with trusting(["mypackage"]):
    ...     is_trusted("mypackage.nets.Small"), is_trusted("mypackages.Small")
    (True, False)
    """
    return any(name == module or name.startswith(f"{module}.") for module in _said.modules)


def name_server(address: str) -> None:
    """The person has named this server; from now on this process may ask it."""
    _said.servers.add(address)


def named_servers() -> frozenset[str]:
    """The addresses that the person has named, as they wrote them."""
    return frozenset(_said.servers)


def refuse_import(name: str, where: str, fault: type[LookalikeError] = ConfigError) -> None:
    """Refuse an import path that was read from a file, unless its module is trusted.

    Args:
        name: the import path.
        where: file and key, for the message.
        fault: the error to raise.

    Raises:
        LookalikeError: of kind ``fault``; names it and the flag that trusts it.
    """
    if is_trusted(name):
        return
    module = name.partition(".")[0]
    raise fault(
        f"{where}: {name} would run code that is neither lookalike's nor timm's, and the file does "
        "not bear the mark of what you made on this machine. If you know and trust that code, add "
        f"--trust {module}"
    )


def literal(text: str) -> str:
    """A path read from a file, so that nobody takes its ``~`` for a home folder.

    >>> literal("~/photos"), literal("photos/~a")
    ('./~/photos', 'photos/~a')
    """
    return f"./{text}" if text.startswith("~") else text


# ── marks ───────────────────────────────────────────────────────────────────────────────────────


def mark_of(content: str, kind: str) -> str | None:
    """The mark of a content written now; None where the secret cannot be kept.

    Args:
        content: what it is about.
        kind: of file, so that no mark serves another kind.
    """
    key = _secret(make=True)
    return None if key is None else _hmac(key, content, kind)


def is_own(content: str, kind: str, mark: Any) -> bool:
    """Whether a content bears this user's mark."""
    key = _secret(make=False)
    if key is None or not isinstance(mark, str) or not mark.isascii():
        return False
    return hmac.compare_digest(mark, _hmac(key, content, kind))


def sealed(facts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The facts of a JSON file with the user's mark."""
    plain = {key: value for key, value in facts.items() if key != MARK}
    mark = mark_of(_canonical(plain), kind)
    return plain if mark is None else plain | {MARK: mark}


def is_sealed(facts: Mapping[str, Any], kind: str) -> bool:
    """Whether the facts read from a JSON file bear the user's mark."""
    plain = {key: value for key, value in facts.items() if key != MARK}
    return is_own(_canonical(plain), kind, facts.get(MARK))


def sealed_text(text: str, kind: str) -> str:
    """A text whose last line, a comment, is the user's mark."""
    mark = mark_of(text, kind)
    return text if mark is None else f"{text}# {MARK}: {mark}\n"


def is_sealed_text(text: str, kind: str) -> bool:
    """Whether a text ends with the user's mark."""
    body, line, mark = text.rpartition(f"# {MARK}: ")
    return bool(line) and is_own(body, kind, mark.strip())


def _canonical(facts: Mapping[str, Any]) -> str:
    # Through JSON once, so that what was written and what is read are the same.
    return json.dumps(json.loads(json.dumps(facts, default=str)), sort_keys=True)


def _hmac(key: bytes, content: str, kind: str) -> str:
    said = f"lookalike {kind}\0{content}".encode("utf-8", "surrogatepass")
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def secret_file() -> Path:
    """Where the user's secret is kept."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "lookalike" / "secret"


def _secret(*, make: bool) -> bytes | None:
    try:
        file = secret_file()
        if make and not file.exists():
            _make(file)
        if not file.exists():
            return None
        about = file.stat()
        others = os.name == "posix" and (about.st_uid != os.getuid() or about.st_mode & 0o077)
        if others:
            log.warning("%s is not yours alone and is not used: chmod 600 it, or delete it", file)
            return None
        return file.read_bytes()
    except (OSError, RuntimeError) as error:  # no home, or none that can be written
        log.warning("what is written now bears no mark of yours (%s)", error)
        return None


def _make(file: Path) -> None:
    """Write a new secret, whole; of two processes the first wins."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = file.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(part, file)
    finally:
        part.unlink(missing_ok=True)
