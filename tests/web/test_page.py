"""The page in a real browser, on a real server: crop, filter and mark by pointer and by keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def opened(chromium, address):
    """Opens the page; fails where the browser complained or anything but the server was asked."""
    tabs, complaints, requests = [], [], []

    def open_page(width=1200, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        tab = context.new_page()
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: complaints.append(dialog.message))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(address)
        tab.locator("#about", has_text="images").wait_for()
        tabs.append(context)
        return tab

    yield open_page
    for context in tabs:
        context.close()
    # A refusal is logged by the browser too; the page says it in words.
    assert [
        words for words in complaints if not re.search("ERR_FAILED|status of (422|503)", words)
    ] == []
    assert all(url.startswith((address, "blob:", "data:")) for url in requests)


def search(tab, picture):
    tab.locator("#file").set_input_files(picture)
    tab.wait_for_selector("#found li")


def answered(tab, act):
    """Do something, and wait for the answer to the search it begins."""
    with tab.expect_response("**/api/search") as waited:
        act()
    assert waited.value.status == 200
    hits = waited.value.json()["hits"]
    until(tab, f"document.querySelectorAll('#found li').length === {len(hits)}")
    return hits


def until(tab, expression):
    """Wait for an expression. The page's own policy forbids what playwright would wait by."""
    for _ in range(300):
        if tab.evaluate(expression):
            return
        tab.wait_for_timeout(50)
    raise AssertionError(f"it never came to: {expression}")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 1200), ("dark", 390)])
def test_it_reads_well_anywhere(opened, shared_index, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab = opened(width, scheme)
    search(tab, shared_index.items["path"].iloc[5])
    until(tab, "document.querySelector('#found img').naturalWidth > 0")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(number) for number in paper[4:-1].split(",")) < 3 * 128
    assert dark == (scheme == "dark")
    violations = axe.Axe().run(tab).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:120]) for v in violations] == []


def test_crop_filter_and_click(opened, shared_index):
    tab = opened()
    search(tab, shared_index.items["path"].iloc[5])
    whole = tab.locator("#found .name").all_inner_texts()
    assert whole[0] == "bat/1.png"
    answered(tab, lambda: tab.locator("#top").select_option("48"))
    box = tab.locator("#shown").bounding_box()
    left, top = box["x"] + 4, box["y"] + 4

    def drag():
        tab.mouse.move(left, top)
        tab.mouse.down()
        tab.mouse.move(left + box["width"] * 0.4, top + box["height"] * 0.5)
        tab.mouse.up()

    part = answered(tab, drag)
    assert tab.locator("#crop").is_visible()
    assert [hit["name"] for hit in part] != whole
    answered(tab, lambda: tab.locator("#uncrop").click())
    assert not tab.locator("#crop").is_visible()
    offered = tab.locator("#label option").all_inner_texts()[1:]
    assert offered[1:] == ["bat (4)", "elk (4)", "fox (4)", "owl (4)"]
    foxes = answered(tab, lambda: tab.locator("#label").select_option("fox"))
    assert {hit["labels"]["label"] for hit in foxes} == {"fox"}
    tab.locator("#more > summary").click()
    tab.locator("#where").fill("nothing=1")
    tab.locator("#go").click()
    tab.locator("#say.bad").wait_for()
    assert "no column" in tab.locator("#say").inner_text()
    tab.locator("#where").fill("")
    answered(tab, lambda: tab.locator("#label").select_option(""))
    clicked = answered(tab, lambda: tab.locator("#found li button").nth(3).click())
    assert len(clicked) == 19  # the item does not find itself


def test_keys_alone_are_enough(opened, shared_index):
    tab = opened()
    search(tab, shared_index.items["path"].iloc[9])
    tab.locator("#found button").first.focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowLeft")
    here = (
        "[...document.querySelectorAll('#found li')].indexOf(document.activeElement.closest('li'))"
    )
    assert tab.evaluate(here) == 1
    tab.keyboard.press("w")
    tab.wait_for_selector("#found li.wrong")
    tab.keyboard.press("r")
    tab.wait_for_selector("#found li.right")
    assert tab.locator("#found li.wrong").count() == 0
    marks = Path(shared_index.folder) / "marks" / "marks.csv"
    assert "mark in the table" in tab.locator("#say").inner_text()
    assert len(marks.read_text().splitlines()) >= 3
    answered(tab, lambda: tab.keyboard.press("Enter"))
    assert "searched with" in tab.locator("#shown").get_attribute("alt")


def test_several_images_and_items_and_the_way_back(opened, shared_index):
    tab = opened()
    paths = shared_index.items["path"]
    search(tab, [paths.iloc[5], paths.iloc[6]])
    assert tab.locator("#shown-others img").count() == 1
    both = tab.locator("#found .name").all_inner_texts()
    clicked = answered(tab, lambda: tab.locator("#found li button").first.click())
    assert [hit["name"] for hit in clicked] != both
    answered(tab, tab.go_back)
    assert tab.locator("#found .name").all_inner_texts() == both
    assert tab.locator("#shown-others img").count() == 1
    answered(tab, tab.go_forward)
    tab.locator("#more > summary").click()
    tab.locator("#ids").fill("3, 4")
    hits = answered(tab, lambda: tab.locator("#go").click())
    assert len(hits) == 18  # items do not find themselves
    tab.locator("#ids").fill("fox")
    tab.locator("#go").click()
    tab.locator("#say.bad").wait_for()


def test_a_mark_is_taken_back_by_the_same_key_and_from_the_list(opened, shared_index):
    tab = opened()
    search(tab, shared_index.items["path"].iloc[13])
    first = tab.locator("#found li").first
    first.locator("button").first.focus()
    tab.keyboard.press("w")
    tab.wait_for_selector("#found li.wrong")
    marked = tab.locator("#say").inner_text()
    tab.keyboard.press("w")
    until(tab, "document.querySelectorAll('#found li.wrong').length === 0")
    assert "taken back" in tab.locator("#say").inner_text()
    assert first.locator(".marks [aria-pressed=true]").count() == 0
    tab.keyboard.press("r")
    tab.wait_for_selector("#found li.right")
    assert tab.locator("#say").inner_text().split(";")[1] == marked.split(";")[1]
    tab.locator("#marked > summary").click()
    tab.locator("#last button").click()
    until(tab, "document.querySelectorAll('#found li.right').length === 0")
    assert tab.locator("#marked").is_hidden()


def test_the_page_waits_for_a_server_that_begins(opened, shared_index):
    tab = opened()
    refused = []

    def refuse_twice(route):
        refused.append(route)
        if len(refused) == 1:
            route.abort()
        elif len(refused) == 2:
            route.fulfill(status=503, json={"detail": "the model is being loaded"})
        else:
            route.continue_()

    tab.route("**/api/search", refuse_twice)
    tab.locator("#file").set_input_files(shared_index.items["path"].iloc[5])
    until(tab, "document.querySelector('#say').textContent.startsWith('Waiting')")
    until(tab, "document.querySelector('#say').textContent.startsWith('The model is being')")
    tab.wait_for_selector("#found li")
    assert len(refused) == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_results_are_what_one_sees_first(opened, shared_index, scheme, width, tmp_path):
    tab = opened(width, scheme)
    search(tab, shared_index.items["path"].iloc[5])
    until(tab, "document.querySelector('#found img').naturalWidth > 0")
    tab.screenshot(path=tmp_path / f"page-{width}-{scheme}.png")
    assert tab.locator("#found li").first.bounding_box()["y"] < 620
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
