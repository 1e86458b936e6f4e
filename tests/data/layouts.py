"""Small files of the data sets' tests."""

from PIL import Image


def text(file, *lines, end="\n"):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(line + end for line in lines).encode())


def rows(table, *columns):
    return [tuple(row) for row in table.frame[list(columns)].itertuples(index=False)]


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(file)


def tree(root, *files):
    for file in files:
        picture(root / file)
    return root
