"""What the numbers mean, each thing said once: recall@1 and recall@8 are one definition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lookalike.metrics.contract import FORMULA
from lookalike.report.figures import metric_title, split_level

Words = Mapping[str, str]


@dataclass(frozen=True)
class Meaning:
    """One definition.

    Attributes:
        title: the metric as papers write it, such as ``"Recall@k"``.
        name: its name in code, such as ``"recall_at_{k}"``.
        words: the definition.
    """

    title: str
    name: str
    words: str

    @property
    def plain(self) -> str:
        """The plain sentence; all where there is no formula beside it."""
        return self.words.partition(FORMULA)[0]

    @property
    def formula(self) -> str:
        """The exact definition; empty where it is all there is."""
        return self.words.partition(FORMULA)[2]


def meanings(definitions: Words) -> list[Meaning]:
    """Definitions that differ in nothing but k and the level become one, of k and l.

    >>> for meaning in meanings({"recall_at_1": "a hit among 1", "recall_at_4": "a hit among 4"}):
    ...     print(meaning.title, meaning.words)
    Recall@k a hit among k
    """
    families: dict[tuple[str, bool, bool], dict[str, str]] = {}
    for name, words in definitions.items():
        family, k, level = _parts(name)
        families.setdefault((family, k is not None, level is not None), {})[name] = words
    found = []
    for (family, has_k, has_level), members in families.items():
        words = _common(members) if len(members) > 1 else None
        if words is None:
            found += [Meaning(metric_title(name), name, text) for name, text in members.items()]
            continue
        # Only what differs among the members is a letter; recall@1 of three levels is no recall@k.
        _, ks, levels = (sorted(set(part)) for part in zip(*map(_parts, members), strict=True))
        name = f"{family}_at_{ks[0]}" if has_k else family
        title = metric_title(name)
        if len(ks) > 1:
            name, title = f"{family}_at_{{k}}", re.sub(r"(@|_at_)\d+$", r"\1k", title)
        if len(levels) > 1:
            name = f"{name}_level{{l}}"
            title = f"{title}, level l" if (family, has_k, False) in families else title
        elif has_level:
            name, title = f"{name}_level{levels[0]}", f"{title}, level {levels[0]}"
        found.append(Meaning(title, name, words))
    return found


def _parts(name: str) -> tuple[str, str | None, str | None]:
    """Family, k and level of a metric's name.

    >>> _parts("recall_at_4_level1"), _parts("h_ap")
    (('recall', '4', '1'), ('h_ap', None, None))
    """
    base, level = split_level(name)
    family = re.fullmatch(r"(.+)_at_(\d+)", base)
    depth = None if level is None else str(level)
    return (family[1], family[2], depth) if family else (base, None, depth)


def _common(members: Words) -> str | None:
    """The words that all members share but for k and l; None where there are none."""
    names = [_parts(name) for name in members]
    # Odd places hold the numbers, even places what stands between them.
    texts = [re.split(r"(\d+)", words) for words in members.values()]
    if len({len(text) for text in texts}) > 1:
        return None
    common = []
    for place in zip(*texts, strict=True):
        if len(set(place)) == 1:
            common.append(place[0])
        elif list(place) == [k for _, k, _ in names]:
            common.append("k")
        elif list(place) == [level for _, _, level in names]:
            common.append("l")
        else:
            return None
    return "".join(common)


def level_legend(found: Iterable[Meaning], levels: Sequence[str]) -> str:
    """What l stands for, where a definition speaks of it and the levels have names.

    >>> level_legend([Meaning("mAP", "mean_average_precision_level{l}", "…")], ["species", "genus"])
    'l is the level of the label: 0 species, 1 genus.'
    """
    if not levels or not any(meaning.name.endswith("{l}") for meaning in found):
        return ""
    return f"l is the level of the label: {', '.join(f'{i} {n}' for i, n in enumerate(levels))}."
