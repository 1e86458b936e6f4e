"""A data set of your own: a function from a folder to a table. Here the labels are in file names.

python examples/own_dataset.py photos/      checks it: names as in robin_garden_0012.jpg
cd examples && lookalike train dataset=own_dataset.by_file_name dataset.root=photos/
"""

import sys
from pathlib import Path

import pandas as pd

from lookalike.data.table import Table
from lookalike.errors import DataError
from lookalike.testing import check_dataset


def by_file_name(root: str, *, test_places: tuple[str, ...] = ("garden",)) -> Table:
    """Pictures named SPECIES_PLACE_NUMBER.jpg; some places are for testing.

    Args:
        root: the folder.
        test_places: pictures from there are evaluated, all others are trained on.
    """
    files = sorted(p for p in Path(root).iterdir() if p.suffix in (".jpg", ".png"))
    if not files:
        raise DataError(f"{root}: no .jpg or .png there; expected SPECIES_PLACE_NUMBER.jpg")
    parts = [file.stem.split("_") for file in files]
    frame = pd.DataFrame(
        {
            "path": [file.name for file in files],
            "species": [part[0] for part in parts],
            "split": ["test" if part[1] in test_places else "train" for part in parts],
        }
    )
    return Table.from_frame(frame, levels=["species"], name="by_file_name", root=root)


if __name__ == "__main__":
    check_dataset(lambda: by_file_name(sys.argv[1]))
    print(by_file_name(sys.argv[1]))
