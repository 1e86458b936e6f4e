"""What a label, a name or a title says is shown, and never obeyed."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.table import Table

from lookalike import cli
from lookalike.console import Console
from lookalike.errors import DataError
from lookalike.report.map_page import map_page
from lookalike.report.maps import map_embeddings

NASTY = "fox\x1b[2J\x1b]0;owned\x07\x9b31m\x08[bold]x[/bold]"


@pytest.mark.parametrize("quiet", [True, False])
def test_the_terminal_shows_control_characters(quiet):
    console = Console(quiet=quiet)
    console.out.file = io.StringIO()
    table = Table(title=NASTY)
    table.add_column(NASTY)
    table.add_row(NASTY)
    console.say(NASTY)
    console.out.print(table)
    with console.embedding(NASTY, 3):
        pass
    written = console.out.file.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", written)
    assert written.count("[bold]x[/bold]") == 4
    assert "\\x1b[2J" in written


def test_an_error_shows_them_too(monkeypatch, capsys):
    def fail(**_):
        raise DataError(NASTY)

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert "\\x1b[2J" in capsys.readouterr().err


@pytest.mark.parametrize(
    "title", ["DATA", "SCRIPT", "my_NOTE", "HASH TITLE", "</script><b>", NASTY]
)
def test_a_map_survives_its_title_and_names(title):
    plane = map_embeddings(np.eye(4), [0, 0, 1, 1], names=[title, "b"], method="pca")
    plain = map_page(plane, title="t", names=[title] * 4)
    page = map_page(plane, title=title, names=[title] * 4)
    assert re.sub(r"<title>.*?</title>", "", page, flags=re.DOTALL).count("<script") == plain.count(
        "<script"
    )
    assert page.count("</script>") == plain.count("</script>") == 2
    assert len(page) < len(plain) + 300
