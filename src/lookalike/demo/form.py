"""Form: the traits of a species, each inherited from the level of the taxonomy that owns it.

The family owns the body plan, the genus its proportions and the kind of its pattern, the species
the fine details: how many spots, how close the stripes, how curled the antennae.
"""

from dataclasses import dataclass

from lookalike.demo.chance import fraction

# Powers of 1/g, g the root of gᵈ⁺¹ = g + 1 for d = 6 (1.1127756842787…): the steps of the additive
# sequence that spreads any number of siblings evenly over the six-dimensional cube of traits. The
# powers that part the first few siblings farthest go to the traits that show most.
_STEPS = (
    0.6521830259439715,
    0.7257334129697597,
    0.5860866975779693,
    0.8075784952213447,
    0.5266889867007357,
    0.8986537126286992,
)


@dataclass(frozen=True)
class Form:
    """The traits of one species; indices count from 0 without end, siblings never coincide."""

    family: int
    genus: int
    species: int
    seed: int

    def build(self, trait: int) -> float:
        """Return a trait of the family in [0, 1): what sets apart families that share a plan."""
        return self._spread(trait, self.family, (self.seed, 1))

    def stature(self, plans: int) -> tuple[float, float]:
        """Return how broad the family is, at most 1, and how much it broadens downwards.

        The first family of each of the `plans` is as the plan draws it; those that come round to
        the same plan again are slimmer, and pointed at the head or at the tail.
        """
        lap = self.family // plans
        if lap == 0:
            return 1.0, 0.0
        slim, taper = 0.3 + lap * _STEPS[0], 0.1 + lap * _STEPS[1]
        return span(slim - int(slim), 0.56, 0.76), span(taper - int(taper), -0.28, 0.28)

    def proportion(self, trait: int) -> float:
        """Return a trait of the genus in [0, 1)."""
        return self._spread(trait, self.genus, (self.seed, 2, self.family))

    def detail(self, trait: int) -> float:
        """Return a trait of the species in [0, 1)."""
        return self._spread(trait, self.species, (self.seed, 3, self.family, self.genus))

    def kind(self, kinds: int) -> int:
        """Return which of `kinds` patterns the genus wears; genera side by side differ."""
        # A stride coprime to the usual counts visits every kind before it repeats one.
        first = int(fraction(self.seed, 4, self.family) * kinds)
        return (first + self.genus * 3) % kinds

    @staticmethod
    def _spread(trait: int, sibling: int, parent: tuple[int, ...]) -> float:
        value = fraction(*parent, trait) + sibling * _STEPS[trait]
        return value - int(value)


def span(t: float, low: float, high: float) -> float:
    """Map a trait onto [low, high)."""
    return low + (high - low) * t


def count(t: float, low: int, high: int) -> int:
    """Map a trait onto the whole numbers low … high."""
    return low + int(t * (high - low + 1))
