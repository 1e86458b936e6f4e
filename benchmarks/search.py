"""What search costs: beside faiss alone, beside a plain embedding loop, and within one query.

    python benchmarks/search.py DATA_ROOT                     prints, about ten minutes
    python benchmarks/search.py DATA_ROOT --only exact --rows 1000000      of a million alone
    python benchmarks/search.py DATA_ROOT --write             also writes results/search.md

One process, one thread, CPU seconds, medians; candidates take turns. Vectors are 128 wide, drawn
around centres as those of a trained model lie; pictures are CUB's, the network is a ResNet-18 with
random weights at 224 pixels. A timing is no test: read the ratios.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import faiss
import httpx
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision import transforms as v1

import lookalike
from lookalike.data import datasets
from lookalike.data.table import Table
from lookalike.jobs import export
from lookalike.models import weights
from lookalike.search import Index
from lookalike.search.asking import Question
from lookalike.search.encoders import describe, open_encoder, own_encoder
from lookalike.web.service import Service
from lookalike.web.settings import Settings

RESULT = Path(__file__).parent / "results" / "search.md"
WIDTH, BATCH, ROUNDS = 128, 64, 5


def vectors(count, seed=0):
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(max(50, count // 50), WIDTH)).astype(np.float32)
    x = centres[draw.integers(0, len(centres), count)]
    x += 0.6 * draw.standard_normal(x.shape, dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def cpu(act):
    began = time.process_time()
    act()
    return time.process_time() - began


def turns(candidates, rounds=ROUNDS):
    """Candidate → median CPU seconds; the first round only warms up."""
    times = defaultdict(list)
    for number in range(rounds + 1):
        for name, act in candidates.items():
            seconds = cpu(act)
            if number:
                times[name].append(seconds)
    return {name: statistics.median(each) for name, each in times.items()}


def exact(folder, rows):
    x, queries = vectors(rows), vectors(BATCH, 1)
    index = Index.build(folder / "exact", x, pd.DataFrame({"path": np.arange(rows).astype(str)}))
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(x)
    found = turns(
        {"ours": lambda: index.search(queries, 10), "faiss": lambda: flat.search(queries, 10)}
    )
    assert (index.search(queries, 10).rows == flat.search(queries, 10)[1]).mean() > 0.999
    ours, plain = found["ours"], found["faiss"]
    return (
        f"| exact, {rows:,} × {WIDTH} | {1e3 * ours / BATCH:.2f} ms a query | "
        f"{1e3 * plain / BATCH:.2f} ms, faiss `IndexFlatIP` | {ours / plain:.2f} × its time |"
    )


def graph(folder, rows):
    """HNSW at the first setting that finds 99 %, through our whole path and by faiss alone."""
    x, queries = vectors(rows), vectors(20 * BATCH, 1)
    items = pd.DataFrame({"path": np.arange(rows).astype(str)})
    index = Index.build(folder / "hnsw", x, items, engine="hnsw")
    true = index.search(queries, 10, exact=True).rows
    for search in (16, 32, 64, 128, 256, 512, 1024):
        index = index.use(index.engine | {"search": search})
        got = index.search(queries, 10).rows
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(true, got, strict=True)])
        if recall >= 0.99:
            break
    plain = faiss.IndexHNSWFlat(WIDTH, 32, faiss.METRIC_INNER_PRODUCT)
    plain.hnsw.efConstruction = index.engine["construction"]
    plain.add(x)
    plain.hnsw.efSearch = search
    blocks = [queries[i : i + BATCH] for i in range(0, len(queries), BATCH)]
    found = turns(
        {
            "ours": lambda: [index.search(block, 10) for block in blocks],
            "faiss": lambda: [plain.search(block, 10) for block in blocks],
        }
    )
    ours, theirs = (len(queries) / found[name] for name in ("ours", "faiss"))
    return (
        f"| HNSW, {rows:,} × {WIDTH}, recall@10 {recall:.3f} (efSearch {search}) | "
        f"{ours:,.0f} queries/s | {theirs:,.0f}, faiss `IndexHNSWFlat` | {ours / theirs:.2f} × |"
    )


def plain_loop(model, paths):
    """What anyone would write: Pillow, torchvision's transforms, float32 batches."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    steps = v1.Compose([v1.Resize(256), v1.CenterCrop(224), v1.ToTensor(), v1.Normalize(mean, std)])
    network = model.backbone
    with torch.inference_mode():
        for start in range(0, len(paths), 32):
            batch = [steps(Image.open(p).convert("RGB")) for p in paths[start : start + 32]]
            features = network(torch.stack(batch)).mean(dim=(2, 3))
            torch.nn.functional.normalize(model.head(features))


def throughput(folder, table, exports):
    model = lookalike.load(folder)
    encoders = {"torch": open_encoder(folder), "torch bf16": open_encoder(folder, "bf16")}
    encoders |= {name: open_encoder(path) for name, path in exports.items()}
    rows = np.arange(len(table))

    def all_of(encoder):
        return lambda: [*encoder.rows(table, rows, batch_size=32, workers=0)]

    found = turns(
        {"a plain loop": lambda: plain_loop(model, table.paths)}
        | {name: all_of(encoder) for name, encoder in encoders.items()},
        rounds=3,
    )
    plain = found["a plain loop"]
    return [
        f"| embedding by {name} | {len(table) / seconds:.1f} pictures/s | "
        f"{len(table) / plain:.1f}, a plain loop | {plain / seconds:.2f} × |"
        for name, seconds in found.items()
        if name != "a plain loop"
    ]


def split(folder, exported, table, rows):
    """Each stage of a query by upload, and its 24 thumbnails: the least wall seconds of 30 queries.

    The least, since a stage that waits for another process waits for the machine's other work too.
    """
    encoder = open_encoder(exported)
    paths = np.array([os.path.abspath(p) for p in table.paths], object)  # noqa: PTH100
    items = pd.DataFrame({"path": paths[np.arange(rows) % len(paths)]})
    about = {"model": describe(encoder), "source": {"roots": [os.path.commonpath(list(paths))]}}
    index = Index.build(
        folder / "split", vectors(rows), items, model=exported, about=about, overwrite=True
    )
    times = defaultdict(list)
    service = Service(
        index.folder, own_encoder, Settings(), lambda stage, s: times[stage].append(s)
    )
    service.load()
    for path in table.paths[:30]:
        hits = service.search([Path(path).read_bytes()], [], Question(24))["hits"]
        for hit in hits:
            service.thumbnail(hit["id"], 256)
    service.close()
    least = {stage: min(each) for stage, each in times.items()}
    least["thumbnail"] *= 24
    words = ", ".join(f"{stage} {1e3 * s:.1f} ms" for stage, s in least.items())
    share = least["search"] / sum(least.values())
    return (
        index,
        f"| a picture against {rows:,} ({load()}) | {words} | search's share | {share:.0%} |",
    )


@contextmanager
def server(index, *options):
    """A real server in a process of its own: the process and its address, at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "lookalike", "serve", str(index.folder), "--port", str(port)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait() == 0


def wait_for(process, url):
    while process.poll() is None:
        with suppress(httpx.TransportError):  # it is not listening yet
            if httpx.get(url).status_code == 200:
                return
        time.sleep(0.02)
    raise RuntimeError("the server ended")


def cpu_of(process):
    """CPU seconds of a process and its children so far."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ticks = 0
    for number in (process.pid, *children):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def cold_start(index, picture):
    """From the command to readiness, and to the first answer: CPU seconds, and those of a clock."""
    found = []
    for _ in range(3):
        began = time.perf_counter()
        with server(index) as (process, url):
            wait_for(process, f"{url}/api/ready")
            ready = cpu_of(process), time.perf_counter() - began
            httpx.post(f"{url}/api/search", files={"picture": picture}).raise_for_status()
            found.append((*ready, cpu_of(process), time.perf_counter() - began))
    ready, ready_wall, answered, answered_wall = map(min, zip(*found, strict=True))
    return (
        "| cold start of `serve`, exported model: CPU to readiness and to the first answer | "
        f"{ready:.1f} s, {answered:.1f} s | by the clock {ready_wall:.1f} s, "
        f"{answered_wall:.1f} s, {load()} | |"
    )


def many_clients(index, picture, clients=16, each=10):
    """So many clients at a time, each sending one request after another: none may fail."""

    def client(_):
        seconds = []
        with httpx.Client(timeout=300) as session:
            for _ in range(each):
                began = time.perf_counter()
                answer = session.post(f"{url}/api/search", files={"picture": picture})
                answer.raise_for_status()
                seconds.append(time.perf_counter() - began)
        return seconds

    with server(index, "--rate", "100000") as (process, url), ThreadPoolExecutor(clients) as pool:
        wait_for(process, f"{url}/api/ready")
        before, began = cpu_of(process), time.perf_counter()
        times = np.concatenate(list(pool.map(client, range(clients))))
        passed, used = time.perf_counter() - began, cpu_of(process) - before
    middle, high, highest = (1e3 * np.quantile(times, q) for q in (0.5, 0.95, 0.99))
    return (
        f"| {clients} clients at a time, {len(times)} uploads, no error | p50 {middle:.0f} ms, "
        f"p95 {high:.0f} ms, p99 {highest:.0f} ms | {len(times) / passed:.1f} answers/s, "
        f"{1e3 * used / len(times):.0f} ms of CPU each, {load()} | |"
    )


def load():
    return f"machine's load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"


def serving(folder, table, model):
    index, line = split(folder, model, table, 100_000)
    picture = Path(table.paths[0]).read_bytes()
    return [line, cold_start(index, picture), many_clients(index, picture)]


def exported(folder, birds, kinds):
    """A ResNet-18 with random weights, and its exports, compared by pictures of three species."""
    torch.manual_seed(0)
    model = folder / "resnet18"
    weights.save(lookalike.create_model("resnet18", pretrained=False), model)
    test = birds.split("test")
    table = test.where(np.flatnonzero(test.labels[:, 0] <= np.unique(test.labels[:, 0])[2])[::2])
    frame = table.frame.assign(path=[os.path.abspath(p) for p in table.paths])  # noqa: PTH100
    csv = folder / "birds.csv"
    found = Table.from_frame(frame, levels=["species"]).frame
    found.rename(columns={"species": "label"}).to_csv(csv, index=False)
    return {
        " ".join(kind): export.run(
            model, to=kind[0], out=folder / "-".join(kind), pictures=str(csv),
            int8="int8" in kind, count=len(table) // 2,
        )
        for kind in kinds
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--graph-rows", type=int, default=50_000)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--only", choices=("exact", "graph", "embedding", "serving"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    lines = ["| | ours | beside | ratio |", "|---|--:|--:|--:|"]

    def measured(name):
        return options.only in (None, name)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if measured("exact"):
            lines.append(exact(folder, options.rows))
            print(lines[-1], flush=True)
        if measured("graph"):
            lines.append(graph(folder, options.graph_rows))
            print(lines[-1], flush=True)
        birds = datasets.cub(options.data_root)
        table = birds.where(np.arange(0, len(birds), len(birds) // options.pictures))
        exports = {}
        if measured("embedding"):
            kinds = [("onnx",), ("onnx", "int8"), ("openvino",), ("openvino", "int8")]
            exports = exported(folder, birds, kinds)
            lines += throughput(folder / "resnet18", table, exports)
            print("\n".join(lines[-6:]), flush=True)
        if measured("serving"):
            exports = exports or exported(folder, birds, [("onnx",)])
            lines += serving(folder, table, exports["onnx"])
            print("\n".join(lines[-3:]), flush=True)
    if options.write:
        head = "# What search costs\n\n" + (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2]
        RESULT.write_text(f"{head}\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
