"""The contract of a number: what it is, how ties and empty queries count, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

FORMULA = "\nFormula: "  # parts the plain sentence of a definition from what is exact
TIES = {
    "stable": "equal scores rank by rising gallery index",
    "optimistic": "among equal scores the more relevant item ranks first",
    "pessimistic": "among equal scores the less relevant item ranks first",
    "mean": "items of equal score all stand at the mean of the places they share",
}
EMPTY = {
    "skip": "skipped and counted",
    "zero": "counted as 0",
}


@dataclass(frozen=True)
class Definition:
    """The contract of one metric.

    Attributes:
        name: its id, with k and level filled in where it belongs to a report.
        words: the formula in words. r_j is the rank of a query's j-th relevant item (from 1,
            excluded items not counted), R how many there are.
        ties: how equal scores are ordered.
        empty: what happens to a query without a relevant item.
        protocol: where the definition comes from.
        aliases: other names it answers to.
        graded: whether all label columns count at once (then it has no level).
        pooled: whether the value is that of all queries together and no mean over queries.
        special: whether it belongs to one protocol and is measured only where it is named.
        plain: what it says, in a plain sentence with a small example.
    """

    name: str
    words: str
    protocol: str
    ties: str = TIES["stable"]
    empty: str = EMPTY["skip"]
    aliases: tuple[str, ...] = ()
    graded: bool = False
    pooled: bool = False
    special: bool = False
    plain: str = ""

    @property
    def told(self) -> str:
        """The plain sentence, and on a line of its own the formula with its source."""
        formula = f"{self.words} ({self.protocol})"
        return f"{self.plain}{FORMULA}{formula}" if self.plain else formula

    @property
    def takes_k(self) -> bool:
        """Whether the name holds a cut-off."""
        return "{k}" in self.name

    def __str__(self) -> str:
        lines = [
            self.name,
            *([f"  {self.plain}"] if self.plain else []),
            f"  value      {self.words}",
            f"  ties       {self.ties}",
            f"  empty      {self.empty}",
            f"  protocol   {self.protocol}",
        ]
        if self.aliases:
            lines.append(f"  also       {', '.join(self.aliases)}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, str]:
        """What a report stores beside the number."""
        return {
            "plain": self.plain,
            "words": self.words,
            "ties": self.ties,
            "empty": self.empty,
            "protocol": self.protocol,
        }
