"""`audit serve` as auditors use it: the real command, a real log, a real Chromium. Needs Chromium on this machine."""

import os
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from browser_talk import AXE
from browser_talk import axe
from browser_talk import tab_to
from playwright.sync_api import Page
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright
from serving_support import HOSTILE
from serving_support import PAGES
from serving_support import next_link
from serving_support import serving
from serving_support import with_log

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Page]]:
    """Opens pages as who has the link; afterwards none has complained, and none asked another machine for anything."""
    complaints: list[str] = []
    folder = with_log(tmp_path_factory.mktemp("served"))
    with serving(folder) as (address, process), sync_playwright() as playwright:
        let_in = httpx.get(next_link(process))
        cookies: Any = [{"name": name, "value": value, "url": address} for name, value in let_in.cookies.items()]
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)

        def opened(path: str, size: tuple[int, int] = (1280, 900), scheme: Any = "light") -> Page:
            context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
            context.add_cookies(cookies)
            page = context.new_page()
            page.on("console", lambda said: complaints.append(said.text))
            page.on("dialog", lambda said: complaints.append(said.message))
            page.on("request", lambda one: complaints.append(one.url) if not one.url.startswith(address) else None)
            page.goto(address + path)
            return page

        yield opened
        browser.close()
    assert complaints == []


@pytest.mark.parametrize(
    ("scheme", "pages"), [("light", PAGES), ("dark", ("/", "/figures", "/log/event?kind=approved"))]
)
def test_axe_finds_nothing_serious(open_page: Callable[..., Page], scheme: str, pages: tuple[str, ...]) -> None:
    if not AXE:
        pytest.skip("COUNTERSIGN_TEST_AXE does not name axe.min.js of npm's axe-core")
    page = open_page("/", scheme=scheme)
    base = page.url.rstrip("/")
    found = {}
    for path in pages:
        page.goto(base + path)
        found[path] = axe(page)

    assert found == {path: [] for path in pages}


def test_narrow_window_scrolls_only_down(open_page: Callable[..., Page]) -> None:
    page = open_page("/", size=(360, 740))
    base = page.url.rstrip("/")
    wide = {}
    for path in PAGES:
        page.goto(base + path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")

    assert {path: width for path, width in wide.items() if width > 360} == {}


def test_auditor_goes_from_a_question_to_its_event_with_the_keyboard(open_page: Callable[..., Page]) -> None:
    page = open_page("/")

    tab_to(page, page.get_by_role("link", name="Refused attempts"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Refused attempts")).to_be_visible()
    expect(page.get_by_role("cell", name="self_approval")).to_be_visible()
    expect(page.get_by_role("cell", name=HOSTILE)).to_be_visible()
    tab_to(page, page.get_by_role("cell").last.get_by_role("link"))
    page.keyboard.press("Enter")

    expect(page.locator(".events summary strong")).to_have_text("refused")
    expect(page.locator(".events pre")).to_contain_text('"reason": "self_approval"')


def test_pictures_say_what_the_table_says(open_page: Callable[..., Page]) -> None:
    page = open_page("/figures")
    page.get_by_label("From").fill("2026-09-01")
    page.get_by_role("button", name="Ask").click()

    pictures = page.get_by_role("img")
    expect(pictures).to_have_count(4)
    for place in range(4):
        shown = pictures.nth(place).locator(".value").all_text_contents()
        column = page.locator(f"tbody tr td:nth-of-type({place + 3})").all_inner_texts()
        assert shown == column
    assert page.locator("tbody tr").count() == 3
