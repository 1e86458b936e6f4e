from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import get_args, get_type_hints

import pytest
from PIL import Image

from lookalike import cli

VERBS = [
    "train",
    "evaluate",
    "compare",
    "search",
    "serve",
    "list",
    "config",
    "explain",
    "doctor",
    "data",
    "index",
]


def lookalike(monkeypatch, capsys, *words: str) -> tuple[int, str, str]:
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setattr(sys, "argv", ["lookalike", *map(str, words)])
    code = 0
    try:
        cli.main()
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_help_names_every_verb_and_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['lookalike', *sys.argv[1:]]\n"
        "from lookalike.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy', 'pandas', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    for words in (["--help"], ["train", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        if words == ["--help"]:
            assert all(verb in done.stdout for verb in VERBS)


# Every verb that is given a path, with one that is not there.
MISSING = [
    "train dataset=no/where", "sweep recipe=demo no/where.yaml", "evaluate no/where",
    "matrix no/where no/where", "embed no/where photos --out o.npy", "cluster no/where.npy",
    "select no/where.parquet --out o.parquet", "discover dataset=no/where",
    "review no/where.parquet", "search no/where q.jpg", "serve no/where",
    "export no/where --to onnx", "publish no/where --to o", "compare no/where no/where",
    "data check no/where", "data cache no/where o", "index build no/where photos",
    "index build resnet18 no/where", "embed resnet18 no/where --out o.npy",
    "index add no/where photos", "index update no/where", "index remove no/where --where a=b",
    "index info no/where", "index verify no/where", "index tune no/where",
    "index map no/where --out o.html", "index audit no/where --out o.html",
    "index adopt no/where",
]  # fmt: skip


def test_a_path_that_is_not_there_is_named_before_anything_heavy_is_imported(tmp_path):
    program = (
        "import sys\n"
        "from lookalike.cli import main\n"
        "for words in sys.argv[1:]:\n"
        "    sys.argv = ['lookalike', *words.split()]\n"
        "    print('$', words, file=sys.stderr, flush=True)\n"
        "    try: main()\n"
        "    except SystemExit as leaving: code = leaving.code\n"
        "    heavy = {'torch', 'timm'} & set(sys.modules)\n"
        "    if heavy or not code: sys.exit(f'{words}: exit code {code}, imported {heavy}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *MISSING],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = done.stderr.split("$ ")[1:]
    assert [words for words in told if "error: " not in words or "no/where" not in words[20:]] == []
    assert list(tmp_path.iterdir()) == []


def test_the_help_of_every_command_imports_nothing_heavy():
    program = (
        "import sys, typer\n"
        "from typer.testing import CliRunner\n"
        "from lookalike.cli import COMMANDS, DATA, INDEX, app\n"
        "paths = [[n] for n in COMMANDS] + [['data', n] for n in DATA]\n"
        "for path in [*paths, *(['index', n] for n in INDEX)]:\n"
        "    done = CliRunner().invoke(app, [*path, '--help'])\n"
        "    assert done.exit_code == 0, (path, done.output)\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'numpy', 'pandas', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def parameters(command) -> dict[str, tuple]:
    """Name → (type, what typer was told) of a command."""
    return {
        name: (get_args(hint)[0], get_args(hint)[1])
        for name, hint in command.__annotations__.items()
    }


ALL = {**cli.COMMANDS} | {f"data {n}": c for n, c in cli.DATA.items()}
ALL |= {f"index {n}": c for n, c in cli.INDEX.items()}


@pytest.mark.parametrize("command", ALL.values(), ids=ALL.keys())
def test_every_option_has_a_whole_sentence_of_help(command):
    for name, (_, option) in parameters(command).items():
        if option.hidden:
            continue
        assert option.help and option.help[-1] in ".…", name
        assert option.help[0].isupper(), option.help
        assert not re.search(r"picture|heap|shelf", option.help), option.help
    assert "Args:" not in command.__doc__ and "Raises:" not in command.__doc__


def test_the_choices_are_those_of_the_library():
    from lookalike.data import cache
    from lookalike.discover.clusterers import METHODS
    from lookalike.evaluation.asymmetric import WHITENINGS
    from lookalike.search.asking import FUSIONS
    from lookalike.search.encoders import PRECISIONS
    from lookalike.search.engines import ENGINES
    from lookalike.search.exported import KINDS
    from lookalike.search.reranking import METHODS as RERANKS
    from lookalike.search.storage import STORAGES

    for command, option, known in (
        ("cluster", "method", METHODS),
        ("evaluate", "whitening", WHITENINGS),
        ("search", "fuse", FUSIONS),
        ("search", "rerank", RERANKS),
        ("export", "to", KINDS),
        ("index build", "engine", ENGINES),
        ("index build", "storage", STORAGES),
        ("index build", "precision", PRECISIONS),
        ("data cache", "encoding", get_args(get_type_hints(cache.build_cache)["encoding"])),
    ):
        kind = parameters(ALL[command])[option][0]
        words = [w for part in (kind, *get_args(kind)) for w in get_args(part) or [part]]
        assert {w for w in words if isinstance(w, str)} == set(known), (command, option)


def test_a_wrong_choice_exits_with_2_and_lists_the_right_ones(monkeypatch, capsys):
    words = ["index", "build", "run", "photos", "--out", "ix", "--engine", "hnws"]
    code, _, err = lookalike(monkeypatch, capsys, *words)
    assert code == 2
    assert "'hnws'" in err and "'hnsw'" in err


def test_shells_complete_choices(monkeypatch, capsys):
    monkeypatch.setenv("_LOOKALIKE_COMPLETE", "complete_bash")
    for given, found in (
        (["lookalike", "index", "build", "--engine", ""], "hnsw"),
        (["lookalike", "evaluate", "--rerank", ""], "k_reciprocal"),
        (["lookalike", "list", ""], "losses"),
    ):
        monkeypatch.setenv("COMP_WORDS", " ".join(given))
        monkeypatch.setenv("COMP_CWORD", str(len(given) - 1))
        monkeypatch.setattr(sys, "argv", ["lookalike"])
        with pytest.raises(SystemExit):
            cli.app(prog_name="lookalike")
        assert found in capsys.readouterr().out.split()


def test_importing_lookalike_imports_nothing_heavy():
    program = "import sys, lookalike; sys.exit(len({'torch', 'numpy', 'hydra'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_typo_exits_with_2_and_one_line(monkeypatch, capsys):
    code, out, err = lookalike(monkeypatch, capsys, "train", "loss=smoth_ap")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Did you mean 'smooth_ap'?" in err
    code, _, err = lookalike(monkeypatch, capsys, "trian")
    assert code == 2
    assert "trian" in err


def test_config_prints_what_a_run_would_be(monkeypatch, capsys):
    code, out, err = lookalike(monkeypatch, capsys, "config", "recipe=demo", "epochs=7")
    assert code == 0, err
    assert "epochs: 7" in out


@pytest.mark.parametrize(
    ("shelf", "name"),
    [
        ("losses", "smooth_ap"),
        ("datasets", "omniglot"),
        ("recipes", "demo"),
        ("models", "resnet18"),
        ("metrics", "mean_average_precision_at_r"),
        ("samplers", "m_per_class"),
        ("transforms", "photo"),
        ("pools", "gem"),
        ("optimizers", "SGD"),
        ("schedules", "one_cycle"),
    ],
)
def test_list_says_what_there_is_a_line_each(monkeypatch, capsys, shelf, name):
    code, out, err = lookalike(monkeypatch, capsys, "list", shelf)
    assert code == 0, err
    lines = [line for line in out.splitlines() if line.startswith(f"{name} ")]
    assert len(lines) == 1
    assert len(lines[0].split(maxsplit=1)[1]) > 3


def test_list_of_nothing_says_what_there_is(monkeypatch, capsys):
    code, _, err = lookalike(monkeypatch, capsys, "list", "loses")
    assert code == 2
    assert "'losses'" in err


def test_explain_understands_aliases(monkeypatch, capsys):
    code, out, err = lookalike(monkeypatch, capsys, "explain", "map_at_r")
    assert code == 0, err
    assert "mean_average_precision_at_r" in out
    assert lookalike(monkeypatch, capsys, "explain", "map_at_rr")[0] == 2


def test_doctor_looks_at_the_installation(monkeypatch, capsys):
    code, out, err = lookalike(monkeypatch, capsys, "doctor")
    assert code == 0, err
    assert "torch" in out
    assert "kernels" in out


def test_evaluate_prints_what_training_printed(monkeypatch, capsys, finished):
    code, out, err = lookalike(monkeypatch, capsys, "evaluate", finished, "--json")
    assert code == 0, err
    stored = json.loads((finished / "evaluation" / "test" / "report.json").read_text())
    assert json.loads(out)["test"]["values"] == stored["values"]


def test_evaluate_takes_another_data_set_or_split(monkeypatch, capsys, finished):
    rows = finished / "evaluation" / "test" / "rows.parquet"
    code, out, err = lookalike(
        monkeypatch, capsys, "evaluate", finished, f"dataset={rows}", "workers=0", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["test"]["data"] == "rows"
    code, out, err = lookalike(monkeypatch, capsys, "evaluate", finished, "--split", "train")
    assert code == 0, err
    assert "Recall@1" in out
    code, _, err = lookalike(monkeypatch, capsys, "evaluate", finished, "--split", "tset")
    assert code == 1
    assert "Did you mean 'test'?" in err


def test_evaluate_obeys_data_root(finished, tmp_path):
    from lookalike.evaluation.benchmarks import benchmarks

    (own,) = benchmarks(finished, [f"data_root={tmp_path}"])
    assert own.config.data_root == str(tmp_path)
    assert own.own
    assert not benchmarks(finished, ["evaluation.k=[1]"])[0].own


def test_index_search_sheet(monkeypatch, capsys, finished, tmp_path):
    import pandas as pd

    rows = finished / "evaluation" / "test" / "rows.parquet"
    index = tmp_path / "ix"
    build = ["index", "build", finished, rows, "--out", index, "--workers", "0"]
    code, out, err = lookalike(monkeypatch, capsys, *build)
    assert code == 0, err
    assert "36 images" in out
    query = pd.read_parquet(rows)["path"].iloc[7]
    sheet = tmp_path / "sheet.png"
    code, out, err = lookalike(
        monkeypatch, capsys, "search", index, query, "--top", "5", "--json", "--sheet", sheet
    )
    assert code == 0, err
    hits = json.loads(out)[0]["hits"]
    assert len(hits) == 5
    assert hits[0]["path"] == query
    assert hits[0]["score"] == pytest.approx(1.0, abs=1e-5)
    assert hits[0]["labels"]["species"]
    assert Image.open(sheet).width > 300
    code, out, err = lookalike(monkeypatch, capsys, "search", index, query)
    assert query in out.splitlines()[1]
    code, out, err = lookalike(monkeypatch, capsys, "index", "info", index)
    assert "36" in out
    code, _, err = lookalike(monkeypatch, capsys, *build)
    assert code == 1
    assert "exists already" in err
    assert lookalike(monkeypatch, capsys, *build, "--overwrite")[0] == 0


def test_index_of_loose_pictures_leaves_broken_files_out_and_names_them(
    monkeypatch, capsys, finished, tmp_path
):
    photos = tmp_path / "photos"
    (photos / "deep" / "deeper").mkdir(parents=True)
    for i, place in enumerate(("a.png", "deep/b.png", "deep/deeper/c.png")):
        Image.new("RGB", (40, 30), (i * 80, 10, 10)).save(photos / place)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    code, out, err = lookalike(
        monkeypatch, capsys, "index", "build", finished, photos, "--out", tmp_path / "ix"
    )
    assert code == 0, err
    assert "3 images" in out
    assert "broken.jpg" in out


def test_an_index_of_nothing_readable_is_refused(monkeypatch, capsys, finished, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    code, _, err = lookalike(
        monkeypatch, capsys, "index", "build", finished, tmp_path, "--out", tmp_path / "ix"
    )
    assert code == 1
    assert "none of its 1 image can be read" in err
    assert not (tmp_path / "ix").exists()


def test_a_typo_is_refused_before_anything_heavy_is_imported():
    program = (
        "import sys; sys.argv = ['lookalike', *sys.argv[1:]]\n"
        "from lookalike.cli import main\n"
        "try: main()\n"
        "except SystemExit as leaving: code = leaving.code\n"
        "heavy = {'torch', 'pandas', 'timm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    for word in ("los=x", "cub", "loss=smoth_ap", "optimizer.lrr=1", "dataset=omniglto"):
        done = subprocess.run(
            [sys.executable, "-c", program, "train", word],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr


def test_search_names_what_is_missing(monkeypatch, capsys, tmp_path):
    code, _, err = lookalike(monkeypatch, capsys, "search", tmp_path, "x.jpg")
    assert code == 1
    assert "is not an index" in err
    assert "lookalike index build" in err
    (tmp_path / "x.jpg").touch()
    code, _, err = lookalike(monkeypatch, capsys, "search", tmp_path / "x.jpg", tmp_path)
    assert code == 1
    assert "is not an index" in err


def test_data_check_reports(monkeypatch, capsys, toy):
    options = [word for word in toy if word.startswith("dataset.")]
    code, out, err = lookalike(monkeypatch, capsys, "data", "check", "toy", *options)
    assert code == 0, err
    assert "72" in out
    code, out, err = lookalike(monkeypatch, capsys, "data", "check", "toy", *options, "--json")
    assert code == 0, err
    json.loads(out)


def test_python_m_lookalike():
    done = subprocess.run(
        [sys.executable, "-m", "lookalike", "list", "recipes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "demo" in done.stdout
