"""Serve an index of an exported model where nothing but requirements-serve.lock is installed.

With --make, in a whole environment, such an index is built first, of drawn images.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ABSENT = ("torch", "torchvision", "timm", "sklearn", "pandas", "hydra")
PORT = 8917
ADDRESS = f"http://127.0.0.1:{PORT}"


def make(folder: Path) -> None:
    """An index of 24 images by the export of a small network that has learned nothing."""
    import numpy as np
    from PIL import Image

    from lookalike import create_model
    from lookalike.jobs import export, index
    from lookalike.models import weights

    base = folder.with_suffix("")
    draw = np.random.default_rng(0)
    for number in range(24):
        place = base / "photos" / f"class{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    model = create_model("conv4", pretrained=False, embedding_size=16, size=32)
    weights.save(model, base / "model")
    export.run(base / "model", out=base / "exported", pictures=str(base / "photos"), count=20)
    index.build(base / "exported", str(base / "photos"), folder, workers=0)


def check(folder: Path) -> None:
    """Search by upload, filter, mark and read the marks."""
    there = [name for name in ABSENT if importlib.util.find_spec(name)]
    assert not there, f"installed, but should not be: {there}"
    program = shutil.which("lookalike", path=str(Path(sys.executable).parent))
    assert program, "the wheel brings no command"
    words = [program, "serve", str(folder), "--port", str(PORT)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            wait(server)
            image = next(folder.with_suffix("").glob("photos/class1/*.png"))
            hits = post("/api/search", image, top="3", where="label=class1")["hits"]
            assert len(hits) == 3, hits
            assert hits[0]["score"] > 0.999, hits
            assert {hit["labels"]["label"] for hit in hits} == {"class1"}, hits
            assert post("/api/marks", image, number=str(hits[1]["id"]), right="true")["marks"] == 1
            assert b"class1" in get("/api/marks.csv")
            assert b"<html" in get("/")
        finally:
            server.terminate()


def wait(server: subprocess.Popen[bytes]) -> None:
    """Until the server is ready; what it printed where it ends before."""
    for _ in range(600):
        assert server.poll() is None, server.stdout.read().decode() if server.stdout else ""
        try:
            get("/api/ready")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server was not ready within a minute")


def get(path: str) -> bytes:
    """The body of an answer."""
    with urllib.request.urlopen(ADDRESS + path, timeout=30) as answer:
        return answer.read()


def post(path: str, image: Path, **fields: str) -> dict:
    """A form with an image, as a browser sends it."""
    edge = "edge0f0f0f"
    parts = [
        f'--{edge}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = 'Content-Disposition: form-data; name="picture"; filename="a.png"'
    kind = "Content-Type: image/png"
    parts.append(f"--{edge}\r\n{head}\r\n{kind}\r\n\r\n".encode() + image.read_bytes() + b"\r\n")
    body = b"".join(parts) + f"--{edge}--\r\n".encode()
    head = {"Content-Type": f"multipart/form-data; boundary={edge}"}
    request = urllib.request.Request(ADDRESS + path, data=body, headers=head)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    if sys.argv[1] == "--make":
        make(Path(sys.argv[2]))
    else:
        check(Path(sys.argv[1]))
