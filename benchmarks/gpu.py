"""Every check and every figure of the GPU in one go, at most eight minutes on an H100 or H200.

    make gpu                                 all parts; writes benchmarks/results/gpu.{md,json}
    make gpu ARGS="--parts losses training"  some of them
    make gpu SMOKE=1                         tiny sizes, on the CPU too: does the program run?

Five parts, each in a process of its own with a budget of seconds: ``right`` runs the tests on the
device, ``losses``, ``evaluation``, ``training`` and ``search`` measure. A row is written down as
soon as it is known, so what was found before a stop, a crash or the end of a budget stands. A part
that lacks a package, or the memory, says so in a row and the others go on.

Times are medians of warm rounds, by CUDA events. ``aim`` is what the project asks of the figure;
``met`` says whether it holds. docs/performance.md foretells the figures from bytes and operations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
# Seconds that each part may take; together with the starts of their processes eight minutes.
PARTS = {"right": 130, "losses": 80, "evaluation": 60, "training": 140, "search": 60}
ROOMS = ("ops", "losses", "metrics", "training", "discover")
TITLES = {
    "right": "Right: the tests on the device",
    "losses": "Losses: forward and backward, 512-d, beside their two products in float32",
    "evaluation": "Evaluation: exact, beside the product of all pairs",
    "training": "Training: images a second beside a bare loop on one batch that never changes",
    "search": "Embedding, search and discovery",
}


def card() -> dict[str, str]:
    """What it runs on."""
    import torch

    from lookalike.ops import paths

    has = torch.cuda.is_available()
    found = {
        "card": torch.cuda.get_device_name() if has else "none: the CPU, to see that it runs",
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "triton": paths.triton_reason() or "used",
        "native": paths.status()[0].reason,
        "cores": str(len(os.sched_getaffinity(0))),
    }
    if has:
        found["memory"] = f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB"
    return found


def run_part(name: str, smoke: bool, budget: float, out: Path) -> list[dict]:
    """The rows of a part, which a process of its own appends to a file."""
    file = out / f"gpu_{name}.jsonl"
    file.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--child", name, "--out", str(out)]
    command += ["--smoke"] if smoke else []
    started = time.monotonic()
    try:
        done = subprocess.run(command, timeout=budget, check=False)
        trouble = f"ended with {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        trouble = f"stopped after its budget of {budget:.0f} s"
    lines = file.read_text().splitlines() if file.is_file() else []
    rows = [json.loads(line) for line in lines]
    if trouble:
        rows.append({"what": "the part itself", "found": trouble, "met": False})
    print(f"{name}: {len(rows)} rows in {time.monotonic() - started:.0f} s", flush=True)
    return rows


def child(name: str, smoke: bool, out: Path) -> None:
    """Append each row of a part to its file as it comes."""
    with (out / f"gpu_{name}.jsonl").open("a", encoding="utf-8") as file:
        for row in _rows_of(name, smoke, out):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print("  " + "  ".join(str(value) for value in row.values()), flush=True)


def _rows_of(name: str, smoke: bool, out: Path):
    if name == "right":
        yield from right(smoke, out)
        return
    try:
        yield from import_module(f"gpu_{name}").rows(smoke)
    except ModuleNotFoundError as error:
        yield {"what": "left out", "found": f"needs the package {error.name}", "met": None}


def right(smoke: bool, out: Path):
    """A row for each room: its tests with every tensor that they make on the device."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    for room in ROOMS[:1] if smoke else ROOMS:
        tests = f"tests/{room}" if not smoke else f"tests/{room}/test_soft_ranks.py"
        command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"]
        command += ["-m", "(gpu or not slow) and not soak and not cpu", "-rf", tests]
        command += ["-n", "0" if smoke else "14", "--timeout", "60"]
        environment = os.environ | {"LOOKALIKE_TEST_DEVICE": device, "COLUMNS": "400"}
        started = time.monotonic()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, cwd=HERE.parent
        )
        (out / f"gpu_tests_{room}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        last = (done.stdout.strip().splitlines() or [done.stderr[-300:]])[-1].strip("= ")
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
        yield {
            "what": f"tests/{room} on {device}",
            "found": last,
            "met": done.returncode == 0,
            "seconds": round(time.monotonic() - started),
            "more": "; ".join(failed),
        }


def report(found: dict[str, list[dict]], about: dict[str, str], out: Path) -> str:
    """Write both files; the text of the first."""
    heads = ("what", "found", "aim", "met", "more")
    said = {True: "yes", False: "**no**", None: ""}
    lines = ["# On a GPU", "", "`make gpu`: " + "; ".join(f"{k} {v}" for k, v in about.items())]
    for name, rows in found.items():
        lines += ["", f"## {TITLES[name]}", "", "| " + " | ".join(heads) + " |", "|---" * 5 + "|"]
        for row in rows:
            cells = {**row, "met": said[row.get("met")]}
            lines.append("| " + " | ".join(str(cells.get(head, "")) for head in heads) + " |")
    text = "\n".join(lines) + "\n"
    (out / "gpu.md").write_text(text, encoding="utf-8")
    whole = {"about": about, "parts": found}
    (out / "gpu.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    parser.add_argument("--out", type=Path, help="where to write; results/, or build/ with --smoke")
    parser.add_argument("--scale", type=float, default=1.0, help="of all budgets")
    parser.add_argument("--child", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    out = options.out or (HERE.parent / "build" / "gpu" if options.smoke else RESULTS)
    out.mkdir(parents=True, exist_ok=True)
    if options.child:
        child(options.child, options.smoke, out)
        return
    about, found = card(), {}
    for name in options.parts:
        found[name] = run_part(name, options.smoke, options.scale * PARTS[name], out)
        text = report(found, about, out)
    for name in options.parts:
        (out / f"gpu_{name}.jsonl").unlink(missing_ok=True)
    print(text)


if __name__ == "__main__":
    main()
