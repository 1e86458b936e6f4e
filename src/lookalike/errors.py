"""What lookalike raises: each message says what was wrong, where it came from, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LookalikeError(Exception):
    """Any failure that a person can mend; the command line prints it without a traceback."""

    exit_code = 1
    is_error = True  # False: something the person asked for, such as stopping


class ConfigError(LookalikeError):
    """An option, a group or an argument of a component that cannot be."""

    exit_code = 2


class DataError(LookalikeError):
    """A folder, a table, a row or an image that cannot be used."""


class ModelError(LookalikeError):
    """Weights that cannot be reached, or a checkpoint of another model."""


class RunError(LookalikeError):
    """A run folder that cannot be read, written or resumed."""


class Busy(RunError):  # noqa: N818 (a state, not a fault)
    """Another process holds the lock of a folder."""


class DiskError(RunError):
    """The disk refuses: full, read-only, no permission."""


class Unreachable(RunError):  # noqa: N818 (a state, not a fault)
    """A server that an index or a study lives in does not answer, or refuses."""


class Interrupted(RunError):  # noqa: N818 (asked for, not an error)
    """The person (or the system) asked the run to stop; its state is saved."""

    exit_code = 130
    is_error = False


class NumericsError(LookalikeError):
    """NaN or infinity where numbers must be finite."""


class LookalikeWarning(UserWarning):
    """Something odd that was handled; the message says how."""


def lost_worker(error: BaseException) -> DataError | None:
    """What to say where a process that reads images has died; None: the error is another.

    torch tells of it by a signal, so its error comes up anywhere: in a step as well as while
    waiting for images.

    >>> said = lost_worker(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "))
    >>> print(str(said).partition(". ")[0])
    DataLoader worker (pid 7) is killed by signal: Killed
    >>> lost_worker(RuntimeError("something else"))
    """
    if not (isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")):
        return None
    return dead_worker(str(error).strip().rstrip("."))


def lacking(error: BaseException) -> LookalikeError | None:
    """What to say where a package is not installed; None: the error is another.

    >>> print(lacking(ModuleNotFoundError("No module named 'torch'", name="torch")))
    torch is not installed here. To have all that lookalike can use: pip install lookalike
    >>> lacking(ModuleNotFoundError("No module named 'lookalike.x'", name="lookalike.x"))
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    if error.name.partition(".")[0] == "lookalike":
        return None
    return LookalikeError(
        f"{error.name} is not installed here. To have all that lookalike can use: pip install "
        "lookalike"
    )


def odd_file(error: BaseException, words: Iterable[str] = ()) -> DataError | None:
    """What to say of a path that the system refuses; None: the error is another.

    A name may be too long, hold a zero, lead to itself, begin with ``~`` and nobody's name, hold
    bytes that are not text, or be one that this user may not read.

    Args:
        error: of the system, or of Python about to ask it.
        words: of the command line, of which some errors name none.

    >>> print(odd_file(OSError(36, "File name too long", "a" * 300)))
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…: File name too long.
    >>> print(odd_file(RuntimeError("Could not determine home directory."), ["~x/a"]))
    ~x/a: there is no user of that name here.
    >>> odd_file(OSError("something else"))
    """
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        name = str(error.filename)
        return DataError(f"{name[:40]}{'…' * (len(name) > 40)}: {error.strerror}.")
    if isinstance(error, RuntimeError) and "home directory" in text:
        named = ", ".join(word for word in words if "~" in word) or "~"
        return DataError(f"{named}: there is no user of that name here.")
    if isinstance(error, ValueError) and ("null byte" in text or "null character" in text):
        return DataError("A path holds a zero byte, which no file's name can. Look at the table.")
    if isinstance(error, UnicodeEncodeError) and "surrogates" in text:
        name = error.object.encode("utf-8", "backslashreplace").decode()
        return DataError(
            f"{name}: the name holds bytes that are not text (UTF-8). Rename the file."
        )
    return None


def dead_worker(reason: str) -> DataError:
    """The error about a process that reads images, and what to try."""
    return DataError(
        f"{reason}. It reads images, and was most likely killed because memory ran out: try "
        "fewer workers (workers=0 reads in the main process), a smaller batch, or a cache of "
        "small images (lookalike data cache). A training goes on from its last checkpoint with "
        "--resume."
    )


def printable(text: str) -> str:
    r"""A text whose control characters are shown, not obeyed: a label could steer the terminal.

    >>> print(printable("fox\x1b[2J"))
    fox\x1b[2J
    """
    return "".join(
        f"\\x{ord(c):02x}" if (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" else c
        for c in text
    )


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with its word, which agrees with it.

    >>> counted(1, "image"), counted(2000, "image"), counted(0, "class", "classes")
    ('1 image', '2,000 images', '0 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_LISTED = 60  # known words that an error still names one by one


def suggest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of the known words, or lists those that are not too many.

    >>> suggest("margn", ["margin", "scale"])
    "Did you mean 'margin'?"
    >>> suggest("zzz", ["margin", "scale"])
    'Known: margin, scale.'
    >>> suggest("zzz", map(str, range(1000)))
    'None of the 1,000 known is like it.'
    """
    words = sorted(set(known))
    folded = {word.lower(): word for word in words}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{folded[near[0]]}'?"
    if len(words) > _LISTED:
        return f"None of the {len(words):,} known is like it."
    return f"Known: {', '.join(words)}." if words else "There is none."
