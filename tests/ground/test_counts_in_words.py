"""Numbers and their words agree: "1 image", "2 images". One function writes both."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import lookalike

SOURCE = Path(lookalike.__file__).parent
# A word in the plural right behind a value, or behind "×"; a verb in -s is none.
PLURAL = re.compile(r" (?:× )?(?P<word>[a-z]+s)\b(?!')")
VERBS = frozenset(
    [
        *("as", "backwards", "bears", "belongs", "changes", "comes", "counts", "describes", "does"),
        *("exists", "fails", "gives", "goes", "has", "holds", "is", "its", "knows", "lacks"),
        *("leads", "learns", "leaves", "names", "needs", "ranks", "reaches", "reads", "resizes"),
        *("rises", "says", "stands", "takes", "this", "was"),
    ]
)
# Values that are no counts: shapes, lists and texts of several numbers, sizes a × b, and fixed ones
# that are never one. Each by file and word.
FREE = frozenset(
    [
        ("archive.py", "times"),  # a ratio that is fixed
        ("confusions.py", "entries"),
        ("display.py", "images"),  # a rate, images/s
        ("_dyml.py", "classes"),  # "2 fine, 3 coarse classes"
        ("_dyml.py", "images"),  # the name of a role
        ("guards.py", "seconds"),  # decimals
        ("labels.py", "levels"),  # "2 and 3 levels"
        ("lander_training.py", "neighbours"),
        ("m_per_class.py", "times"),  # decimals
        ("image.py", "pixels"),  # the largest, as one writes it
        ("pss_pickles.py", "features"),  # a shape
        ("resuming.py", "numbers"),  # a shape
        ("matrix.py", "ms"),
        ("sheets.py", "pixels"),
        ("worker.py", "times"),  # decimals
    ]
)


def disagreeing(file):
    """Places where a number stands beside a word that is always in the plural."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        before = ""
        for value, text in zip(node.values, node.values[1:], strict=False):
            if isinstance(value, ast.Constant):
                before = str(value.value)
            if not (isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)):
                continue
            found = PLURAL.match(str(text.value))
            size = before.strip() == "×" and found and found["word"] == "pixels"
            if found and found["word"] not in VERBS and not size:
                yield node.lineno, ast.unparse(value.value), found["word"]


def test_every_count_that_is_told_agrees_with_its_word():
    found, used = [], set()
    for file in sorted(SOURCE.rglob("*.py")):
        for line, value, word in disagreeing(file):
            used.add((file.name, word))
            if (file.name, word) not in FREE:
                found.append(f"{file.relative_to(SOURCE)}:{line}: {{{value}}} {word}")
    assert not found, "write counted(number, 'image') instead:\n" + "\n".join(found)
    assert used >= FREE, f"no longer needed: {FREE - used}"


def test_the_guard_sees_what_it_guards_against(tmp_path):
    file = tmp_path / "odd.py"
    file.write_text('f"{n:,} images"; f"{a} × {b} pixels"; f"{name} is there"; f"{k} classes × 2"')
    assert [word for _, _, word in disagreeing(file)] == ["images", "classes"]
