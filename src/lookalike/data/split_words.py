"""The words of splits: what people call them, in whatever case, and what they most likely meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lookalike.errors import DataError

_SYNONYMS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "testing",
    "eval": "test",
    "evaluation": "test",
    "val": "val",
    "valid": "valid",
    "validation": "validation",
    "dev": "val",
    "development": "val",
}
ROLES = ("query", "gallery")
# Words of a split that is neither trained on nor evaluated by itself, and rightly so.
OTHERS = ("u_in", "u_out", "unlabelled", "unlabeled", "unsup", "unsupervised", "gallery", "index")
_NUMBERED = re.compile(r"(train|test|val|valid|validation|dev|training|testing)([-_. ]\w+|\d+)")


def split_name(word: str) -> str:
    """The one spelling of a split: known words in small letters, synonyms by their usual name.

    ``testing``, ``valid`` and ``validation`` stay what they are, and so does every word of one's
    own.

    >>> [split_name(w) for w in ("Training", "TEST", "Dev", "Test_Hard", "Validation", "Heap")]
    ['train', 'test', 'val', 'test_hard', 'validation', 'Heap']
    """
    text = word.strip()
    low = text.casefold()
    if low in ROLES:
        return low
    if found := _NUMBERED.fullmatch(low):
        return _SYNONYMS[found[1]] + found[2]
    return _SYNONYMS.get(low, text)


def is_exact(word: str) -> bool:
    """Whether a word is a split's and nothing else: ``Training``, but not ``test_tube``."""
    return word.strip().casefold() in _SYNONYMS


def is_known(word: str) -> bool:
    """Whether a word names a split, perhaps with a number or a word of its own behind it."""
    return is_exact(word) or _NUMBERED.fullmatch(word.strip().casefold()) is not None


def is_evaluated(name: str) -> bool:
    """Whether a split of this name is evaluated: it starts with test or val."""
    return name.startswith(("test", "val"))


def meant(word: str) -> str | None:
    """The known word that a misspelt one is a single slip away from, or None.

    >>> [meant(w) for w in ("tran", "tets", "extra", "rest", "test2")]
    ['train', 'test', None, None, None]
    """
    low = word.strip().casefold()
    if is_known(low) or low in ROLES or low in OTHERS:
        return None
    near = (k for k in (*_SYNONYMS, *ROLES) if len(k) > 3 and low[:1] == k[0])
    return next((k for k in near if _one_slip(low, k)), None)


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter more, less, other, or two exchanged make one word of the other."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    if start is None:
        return len(a) != len(b)
    rest_a, rest_b = a[start:], b[start:]
    swapped = rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:] or swapped


def refuse_unknown(words: Iterable[str], where: str, remedy: str) -> None:
    """Refuse split words that would make rows vanish from training and evaluation alike.

    Those are a word that is a slip away from a known one, and a word of one's own beside a known
    one. Words of one's own alone are a table to embed or to index, and pass.

    Args:
        words: the words as they are written.
        where: what errors name.
        remedy: what to do about a word of one's own beside a known one.

    Raises:
        DataError: with the word and the one it is taken for, or with both words.

    >>> refuse_unknown(["train", "extra"], "rows.csv", "Rename it")
    Traceback (most recent call last):
    lookalike.errors.DataError: rows.csv: 'train' is a known word for a split, 'extra' beside it...
    """
    listed = list(words)
    for word in listed:
        if found := meant(word):
            raise DataError(
                f"{where}: '{word}' is no split that is trained on or evaluated. Did you mean"
                f" '{found}'? Write that, or a name of your own that does not look like it"
            )
    refuse_synonyms(listed, where)
    low = {word: word.strip().casefold() for word in listed}
    sides = ROLES if set(ROLES) <= set(low.values()) else ()
    known = [w for w in listed if is_known(w) or low[w] in sides]
    strangers = [w for w in listed if w not in known and low[w] not in OTHERS]
    if known and strangers:
        one = "is a known word for a split" if len(known) == 1 else "are known words for splits"
        other = f"beside {'it' if len(known) == 1 else 'them'}"
        raise DataError(
            f"{where}: {_quoted(known)} {one}, {_quoted(strangers)} {other}"
            f" {'is' if len(strangers) == 1 else 'are'} not: such images would be neither trained"
            f" on nor evaluated. {remedy}"
        )


def refuse_synonyms(words: Iterable[str], where: str) -> None:
    """Refuse two words that would become one split, as ``eval`` beside ``test``.

    Capitals alone make no second word: ``Test`` and ``test`` are one split.

    Raises:
        DataError: with both words and the split that they mean.
    """
    seen: dict[str, str] = {}
    for word in words:
        other = seen.setdefault(split_name(word), word)
        if other.strip().casefold() != word.strip().casefold():
            raise DataError(
                f"{where}: '{other}' and '{word}' both mean the split '{split_name(word)}'. Write"
                f" one word if they are one split, or {split_name(word)}_1 and {split_name(word)}_2"
            )


def _quoted(words: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(words) - limit} more" if len(words) > limit else ""
    return ", ".join(f"'{w}'" for w in words[:limit]) + more
