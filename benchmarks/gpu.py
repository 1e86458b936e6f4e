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
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
# Seconds that each part may take; together with the starts of their processes eight minutes.
PARTS = {"right": 140, "losses": 60, "evaluation": 70, "training": 140, "search": 60}
ROOMS = ("ops", "losses", "metrics", "training", "discover")
# A line of pytest -v; with several processes the outcome comes first.
_RESULT = re.compile(
    r"(?:(?P<outcome>PASSED|FAILED|ERROR|SKIPPED) )?(?P<test>tests/\S+::.+?)"
    r"(?: (?P<after>PASSED|FAILED|ERROR|SKIPPED)|$)"
)
_SUMMARY = ("PASSED ", "FAILED ", "ERROR ", "SKIPPED ")  # lines at the end, of what was said before
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
    command += ["--scale", str(budget / PARTS[name])]
    command += ["--smoke"] if smoke else []
    started = time.monotonic()
    # A session of its own: what a part has started must not disturb the next.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        process.wait(timeout=budget)
        trouble = f"ended with {process.returncode}" if process.returncode else ""
    except subprocess.TimeoutExpired:
        trouble = f"stopped after its budget of {budget:.0f} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    lines = file.read_text().splitlines() if file.is_file() else []
    rows = [json.loads(line) for line in lines]
    if trouble:
        rows.append({"what": "the part itself", "found": trouble, "met": False})
    print(f"{name}: {len(rows)} rows in {time.monotonic() - started:.0f} s", flush=True)
    return rows


def child(name: str, smoke: bool, out: Path, seconds: float) -> None:
    """Append each row of a part to its file as it comes."""
    with (out / f"gpu_{name}.jsonl").open("a", encoding="utf-8") as file:
        for row in _rows_of(name, smoke, out, seconds):
            file.write(json.dumps(row) + "\n")
            file.flush()
            print("  " + "  ".join(str(value) for value in row.values()), flush=True)


def _rows_of(name: str, smoke: bool, out: Path, seconds: float):
    if name == "right":
        yield from right(smoke, out, 0.9 * seconds)
        return
    try:
        yield from import_module(f"gpu_{name}").rows(smoke)
    except ModuleNotFoundError as error:
        yield {"what": "left out", "found": f"needs the package {error.name}", "met": None}


def right(smoke: bool, out: Path, seconds: float):
    """A row for each room: its tests with every tensor that they make on the device.

    What is not done when the time is up is said; what failed stands in ``gpu_right.log`` beside the
    results.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tests = ["tests/ops/test_scratch.py"] if smoke else [f"tests/{room}" for room in ROOMS]
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]
    command += ["--timeout", "60"]
    command += ["-m", "(gpu or not slow) and not soak and not cpu", *tests]
    command += [] if smoke else ["-n", str(min(12, len(os.sched_getaffinity(0))))]
    environment = os.environ | {
        "LOOKALIKE_TEST_DEVICE": device,
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "400",
    }
    log = out / "gpu_right.log"
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=subprocess.STDOUT, cwd=HERE.parent
        )
        try:
            process.wait(timeout=seconds)
            ended = f"pytest ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # it then says what failed so far
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
            ended = f"stopped after {seconds:.0f} s"
    said = log.read_text(encoding="utf-8", errors="replace")
    yield from _rooms(said, device)
    all_right = process.returncode == 0
    yield {"what": "all of them", "found": ended, "met": all_right}
    if all_right:
        log.unlink()


def _rooms(said: str, device: str):
    """What pytest said of each room's tests."""
    found: dict[str, Counter[str]] = {}
    failed: dict[str, list[str]] = {}
    for line in said.splitlines():
        match = None if line.startswith(_SUMMARY) else _RESULT.search(line)
        if match is not None and (match["outcome"] or match["after"]):
            outcome, test = match["outcome"] or match["after"], match["test"]
            room = test.split("/")[1]
            found.setdefault(room, Counter())[outcome.lower()] += 1
            if outcome in ("FAILED", "ERROR"):
                failed.setdefault(room, []).append(test.removeprefix(f"tests/{room}/"))
    for room, counts in found.items():
        yield {
            "what": f"tests/{room} on {device}",
            "found": ", ".join(f"{count:,} {word}" for word, count in counts.items()),
            "met": room not in failed,
            "more": "; ".join(failed.get(room, [])[:20]),
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
        child(options.child, options.smoke, out, options.scale * PARTS[options.child])
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
