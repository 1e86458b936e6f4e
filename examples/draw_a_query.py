"""Draw one more built-in picture, of a species that the demo's gallery holds, to search with.

python examples/draw_a_query.py query.png [number of an unseen species]
"""

import sys

from PIL import Image

from lookalike.data.datasets import toy
from lookalike.demo import draw, taxonomy

# The built-in set as `dataset=toy` draws it: the gallery holds pictures 0 … 39 of each species.
FAMILIES, GENERA, SPECIES, PICTURES, SIZE, SEED = 8, 3, 6, 40, 64, 0


def main(path: str, number: int = 14) -> None:
    table = toy(
        families=FAMILIES,
        genera=GENERA,
        species=SPECIES,
        pictures=PICTURES,
        size=SIZE,
        seed=SEED,
    )
    unseen = sorted(set(table.split("test").frame["species"]))[number]
    names = [name.species for name in taxonomy(FAMILIES, GENERA, SPECIES, SEED)]
    family, rest = divmod(names.index(unseen), GENERA * SPECIES)
    genus, species = divmod(rest, SPECIES)
    picture = draw(family, genus, species, PICTURES, size=SIZE, seed=SEED)
    Image.fromarray(picture).save(path)
    print(f"drew     a new {unseen} to {path}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
