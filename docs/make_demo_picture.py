"""Makes docs/demo.png, the demo's page in the middle of a run: `python docs/make_demo_picture.py`. Needs Chromium."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from gallery_pictures import BROWSERS
from PIL import Image
from playwright.sync_api import Page
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/demo.png"
SIZE = (1280, 860)
COLOURS = 128
WAIT_MILLISECONDS = 30_000
MOST_BYTES = 200_000
BEN, GUS = "U0BEN", "U0GUS"


@contextlib.contextmanager
def demo() -> Iterator[str]:
    """`countersign demo` as a process of its own; the address of its page."""
    command = [sys.executable, str(ROOT / "countersign.py"), "demo", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            yield next(found[0] for line in running.stdout or () if (found := re.search(r"http://\S+", line)))
        finally:
            running.send_signal(signal.SIGINT)


def act(page: Page) -> None:
    """Ana plans and asks for what is pending on prod, Gus is refused, Ben says yes, and the run is under way."""
    box = page.get_by_role("combobox", name=re.compile("^Message #"))
    for words, heading in (("plan", "Plan for shop/prod"), ("push", "R-1 · shop/prod: waiting")):
        box.fill(f"/migrate {words} prod")
        box.press("Enter")
        expect(page.locator("main h3", has_text=heading)).to_be_visible()
    _approve(page, GUS)
    expect(page.locator("main h3", has_text="Not allowed")).to_be_visible()
    _approve(page, BEN)
    expect(page.locator("main h3", has_text=": running")).to_be_visible()


def _approve(page: Page, who: str) -> None:
    page.get_by_label("You are").select_option(who)
    page.get_by_role("button", name=re.compile("^Approve for prod")).click()
    page.get_by_role("dialog").get_by_role("button", name="Yes").click()


def take_picture() -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("this needs Chromium")
    with demo() as address, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with contextlib.closing(playwright.chromium.launch(executable_path=browser, args=arguments)) as chromium:
            page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, reduced_motion="reduce")
            expect.set_options(timeout=WAIT_MILLISECONDS)
            page.goto(address)
            act(page)
            page.screenshot(path=PICTURE)
    with Image.open(PICTURE) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(PICTURE, optimize=True)
    if PICTURE.stat().st_size > MOST_BYTES:
        sys.exit(f"{PICTURE} has {PICTURE.stat().st_size} bytes, more than {MOST_BYTES}")


if __name__ == "__main__":
    take_picture()
