"""The map to move about in, as a file and in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lookalike.errors import ConfigError, DataError
from lookalike.jobs import index_map
from lookalike.search import Index

EVIL = "<img src=x onerror=alert(1)></script>"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """60 images of three classes, one of an evil name; one file is gone."""
    folder = tmp_path_factory.mktemp("map")
    draw = np.random.default_rng(0)
    labels = [("fox", "owl", EVIL)[i % 3] for i in range(60)]
    x = np.eye(3, 8)[np.arange(60) % 3] + 0.2 * draw.normal(size=(60, 8))
    paths = []
    for i in range(60):
        paths.append(str(folder / f"{i}.png"))
        if i != 5:
            Image.new("RGB", (40, 30), (4 * i, 90, 255 - 4 * i)).save(paths[-1])
    items = pd.DataFrame({"path": paths, "label": labels})
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return Index.build(folder / "ix", x, items, about={"levels": ["label"]})


@pytest.fixture(scope="module")
def page(index, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("page") / "map.html"
    index_map.run(index.folder, out=out)
    return out


def test_the_page_holds_all_and_runs_only_its_own(page):
    text = page.read_text()
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert EVIL not in text
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])
    assert sorted(data["names"]) == sorted(["fox", "owl", EVIL])
    assert data["counts"] == [20, 20, 20]
    assert len(data["x"]) == len(data["thumbs"]) == 60
    assert data["thumbs"][5] == ""
    assert "1 image cannot be read" in text
    points = np.array([data["x"], data["y"]]).T
    labels = np.array(data["label"])
    own = np.linalg.norm(points - points[labels == labels[0]].mean(axis=0), axis=1)
    assert own[labels == labels[0]].mean() < own[labels != labels[0]].mean()


def test_umap_says_what_it_needs(index, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match=r"pip install 'lookalike\[map\]'"):
        index_map.run(index.folder, out=tmp_path / "m.html", method="umap")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_is_refused(index, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'pca'"):
        index_map.run(index.folder, out=tmp_path / "m.html", method="pcca")
    with pytest.raises(ConfigError, match="name a file.html"):
        index_map.run(index.folder, out=tmp_path / "m.png")
    with pytest.raises(DataError, match="no such column"):
        index_map.run(index.folder, out=tmp_path / "m.html", label="lable")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_it_is_moved_about_by_pointer_and_keys(chromium, page, scheme, width):
    complaints, requests = [], []
    tab = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_function("scale > 1")
    x, y = tab.evaluate("at(9)")
    box = tab.locator("#map").bounding_box()
    tab.mouse.move(box["x"] + x, box["y"] + y)
    tab.wait_for_selector("#card img")
    assert "png #" in tab.locator("#card").inner_text()
    before = tab.evaluate("scale")
    tab.mouse.wheel(0, -400)
    tab.wait_for_function(f"scale > {before} * 1.5")
    tab.keyboard.press("Tab")
    tab.locator("#map").focus()
    tab.keyboard.press("0")
    assert tab.evaluate("scale") == before
    tab.keyboard.press("n")
    first = tab.locator("#card").inner_text()
    tab.keyboard.press("n")
    assert tab.locator("#card").inner_text() != first
    tab.locator("#legend button", has_text="owl").click()
    assert tab.evaluate("d.names[only]") == "owl"
    assert tab.locator("#legend button[aria-pressed=true]").count() == 1
    tab.locator("#map").focus()
    tab.keyboard.press("n")
    assert tab.locator("#card p").first.inner_text() == "owl"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    assert [v["id"] for v in axe.Axe().run(tab).response["violations"]] == []
    assert complaints == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
    tab.close()
