"""The demo's page as people use it: a real Chromium, a real bot, real databases. Needs Chromium on this machine."""

import os
import re
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from browser_talk import AXE
from browser_talk import answers
from browser_talk import approve
from browser_talk import ask
from browser_talk import axe
from browser_talk import become
from browser_talk import card_after
from browser_talk import composer
from browser_talk import fresh_table
from browser_talk import go
from browser_talk import headlines
from browser_talk import say_yes
from browser_talk import tab_to
from playwright.sync_api import Browser
from playwright.sync_api import Page
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright

from sandbox.page import PageServer
from sandbox.page import listen
from sandbox.page_world import World
from sandbox.postgres import LocalPostgres
from sandbox.stage import PROD
from sandbox.stage import Stage

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
WIDE, NARROW = (1440, 900), (360, 740)
ANA, BEN, GUS = "U0ANA", "U0BEN", "U0GUS"
WAIT_MILLISECONDS = 20_000
LEFT = "net::ERR_ABORTED"  # the page itself gave the request up: another person, or a reload

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def world(local_postgres: LocalPostgres) -> Iterator[World]:
    """The demo's world, the bot running; what a test needs to be asked for, it commits itself."""
    prod = PROD.replace("restored", "intact")  # a backup is to be seen; restoring it again and again shows no more
    wanted = Stage(postgres=local_postgres, rate_limits=False, movable_clock=True, prod=prod)
    with wanted as stage, World(stage) as made:
        made.start_bot()
        yield made


@pytest.fixture(scope="module")
def address(world: World) -> Iterator[str]:
    with PageServer(world, listen(0)) as page:
        yield page.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    arguments = [*QUIET, "--disable-sync", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens the page; afterwards no page has complained of anything, and none asked another machine for anything."""
    complaints: list[str] = []
    contexts = []

    def opened(size: tuple[int, int] = WIDE, scheme: Any = "light", path: str = "") -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, timezone_id="Asia/Tokyo"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if not asked.url.startswith(address) else None)
        page.on("response", lambda got: complaints.append(f"{got.status} {got.url}") if got.status >= 400 else None)
        page.on("requestfailed", lambda asked: complaints.append(asked.url) if asked.failure != LEFT else None)
        page.goto(address + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


expect.set_options(timeout=WAIT_MILLISECONDS)


def test_deploy_from_the_word_to_the_table(open_page: OpenPage, world: World) -> None:
    table = fresh_table(world, seconds=2)
    page = open_page()

    card = ask(page)
    become(page, BEN)
    said = headlines(page, card)
    say_yes(card)

    expect(card).to_contain_text("done  health")
    expect(page.locator(".unseen[role=status]")).to_contain_text("Countersign: ")
    told = said()
    assert "waiting for approval" in told[0]
    assert any("running" in line for line in told[1:-1]), told
    assert told[-1].endswith("done")
    go(page, "Database")
    made = page.locator(f'[data-table="public.{table}"]')
    expect(made).to_contain_text("only in prod")
    expect(made.get_by_role("row", name=re.compile("^id"))).to_contain_text("bigint")
    row = page.locator("[data-version]", has_text=f"create_{table}")
    expect(row).to_contain_text("only in prod")
    assert world.stage.sql("prod", f"select count(*) from public.{table}") == [(0,)]


def test_refusal_is_seen_by_the_refused_guest_alone(open_page: OpenPage, world: World) -> None:
    fresh_table(world)
    page = open_page()
    card = ask(page)
    become(page, GUS)

    say_yes(card)

    refusal = page.locator(".message.private", has_text="guest").last
    expect(refusal).to_contain_text("Only visible to you")
    expect(card).to_contain_text("waiting for approval")
    become(page, BEN)
    expect(card).to_be_visible()
    expect(page.locator(".message.private", has_text="guest")).to_have_count(0)


def test_modal_shows_what_is_wrong_at_its_input(open_page: OpenPage, world: World) -> None:
    fresh_table(world)
    page = open_page()
    card = ask(page)
    become(page, BEN)
    card.get_by_role("button", name=re.compile("^Reject")).click()
    modal = page.get_by_role("dialog", name="Reject")
    reason = modal.get_by_label("Reason")

    modal.get_by_role("button", name="Reject").click()

    expect(reason).to_be_focused()
    expect(reason).to_have_attribute("aria-invalid", "true")
    expect(reason).to_have_accessible_description(re.compile("Please complete this required field"))
    reason.fill("Not on a Friday")
    modal.get_by_role("button", name="Reject").click()
    expect(modal).to_have_count(0)
    expect(card).to_contain_text("rejected")
    expect(card).to_contain_text("Not on a Friday")


def test_closed_modal_stays_closed(open_page: OpenPage, world: World) -> None:
    fresh_table(world)
    page = open_page()
    card = ask(page)
    become(page, BEN)
    reject = card.get_by_role("button", name=re.compile("^Reject"))
    reject.click()
    expect(page.get_by_role("dialog", name="Reject")).to_be_visible()

    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(reject).to_be_focused()
    page.reload()
    expect(card).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.fixture
def running_again(world: World) -> Iterator[None]:
    """Whatever a test did to the bot, it runs afterwards."""
    yield
    world.start_bot()


@pytest.mark.usefixtures("running_again")
def test_killed_bot_is_missed_and_comes_back(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Break things").click()
    tools = page.get_by_role("region", name="Break things")

    tools.get_by_role("button", name="Kill the bot").click()
    expect(tools.get_by_role("status")).to_contain_text("killed")
    expect(page.get_by_label("State of the sandbox")).to_contain_text("Bot is stopped")
    composer(page).fill("/migrate status")
    composer(page).press("Enter")
    expect(page.locator("main .failed").last).to_contain_text("/migrate failed with the error “dispatch_failed”")

    tools.get_by_role("button", name="Start the bot").click()
    expect(page.get_by_label("State of the sandbox")).to_contain_text("Bot runs")
    composer(page).fill("/migrate status")
    composer(page).press("Enter")
    expect(page.locator(".message.private", has_text="shop/prod").last).to_be_visible()


def test_home_is_the_bots_own(open_page: OpenPage, world: World) -> None:
    fresh_table(world)
    page = open_page()
    ask(page)
    become(page, BEN)

    go(page, "Countersign Home")

    home = page.get_by_role("region", name="Home")
    expect(home.get_by_role("heading").first).to_be_visible()
    expect(home).to_contain_text("shop/prod")
    expect(home).to_contain_text("shop/dev")


def test_guide_fills_in_and_changes_person(open_page: OpenPage) -> None:
    page = open_page()
    become(page, BEN)
    guide = page.get_by_role("region", name="Guide")
    guide.get_by_text("Ask for it").click()
    step = guide.locator("li", has_text="Ask for it")

    step.get_by_role("button", name="Become Ana").click()
    step.get_by_role("button", name="Fill in").click()

    expect(page.get_by_label("You are")).to_have_value(ANA)
    expect(composer(page)).to_have_value("/migrate push prod")
    expect(composer(page)).to_be_focused()


def test_thread_and_file_open_and_close(open_page: OpenPage, world: World) -> None:
    table = fresh_table(world)
    page = open_page()
    card = ask(page)
    link = card.get_by_role("button", name=re.compile(r"^\d+ repl"))

    link.click()
    thread = page.get_by_role("complementary", name="Thread")
    thread.get_by_role("button", name=re.compile(r"\.sql")).click()
    expect(page.get_by_role("dialog")).to_contain_text(f"create table public.{table}")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(thread).to_be_visible()
    page.keyboard.press("Escape")

    expect(thread).to_have_count(0)
    expect(link).to_be_focused()


# --- with the keyboard alone, in a narrow window, for everybody ----------------------------------------------


def test_whole_route_with_the_keyboard_alone(open_page: OpenPage, world: World) -> None:
    table = fresh_table(world)
    page = open_page()
    before = answers(page).count()

    tab_to(page, composer(page))
    page.keyboard.type("/migrate pu")
    expect(page.get_by_role("listbox").get_by_role("option")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(composer(page)).to_have_value("/migrate push prod")
    page.keyboard.press("Enter")
    card = card_after(page, before)
    tab_to(page, page.get_by_label("You are"), "Shift+Tab")
    page.keyboard.type("Ben")
    expect(page.get_by_label("You are")).to_have_value(BEN)
    expect(approve(card)).to_be_visible()
    tab_to(page, approve(card))
    page.keyboard.press("Enter")
    yes = page.get_by_role("dialog").get_by_role("button", name="Yes")
    expect(yes).to_be_visible()
    for _ in range(6):  # round and round, never out of the dialog
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    tab_to(page, yes)
    page.keyboard.press("Enter")

    expect(card.locator("h3").first).to_contain_text(re.compile("done$"))
    assert world.stage.sql("prod", f"select count(*) from public.{table}") == [(0,)]


def test_narrow_window_shows_one_part_at_a_time_and_scrolls_only_down(open_page: OpenPage, world: World) -> None:
    fresh_table(world)
    page = open_page(NARROW)
    card = ask(page)
    parts = {
        "Places": page.get_by_role("navigation", name="Places"),
        "Guide": page.get_by_role("region", name="Guide"),
        "Break": page.get_by_role("region", name="Break things"),
        "Data": page.get_by_role("region", name="Database", exact=True),
        "Log": page.get_by_role("region", name="Audit log"),
        "Chat": composer(page),
    }

    for name, part in parts.items():
        page.get_by_role("navigation", name="Parts of the page").get_by_role("button", name=name).click()
        expect(part).to_be_visible()
        hidden = [other for other, locator in parts.items() if other != name and locator.is_visible()]
        assert hidden == []
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
    say_yes(card)
    expect(page.locator(".message.private").last).to_contain_text("cannot")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page: OpenPage, world: World, scheme: str) -> None:
    if not AXE:
        pytest.skip("COUNTERSIGN_TEST_AXE does not name axe.min.js of npm's axe-core")
    fresh_table(world)
    page = open_page(scheme=scheme)
    card = ask(page)
    become(page, BEN)
    found = {"channel": axe(page)}
    card.get_by_role("button", name=re.compile(r"^\d+ repl")).click()
    found["thread"] = axe(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Break things").click()
    found["tools"] = axe(page)
    card.get_by_role("button", name=re.compile("^Reject")).click()
    page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    found["modal"] = axe(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for place in ("Countersign Home", "Database", "Audit log"):
        go(page, place)
        expect(page.locator("main .blocks, main .grid, main .events li").first).to_be_visible()
        found[place] = axe(page)

    assert found == {view: [] for view in found}


# --- what comes from others -----------------------------------------------------------------------------

HOSTILE = "<img src=x onerror=alert(1)> <@U0BEN> *loud* :bomb: <https://evil.example|prod>"
HOSTILE_BLOCKS = [
    {"type": "header", "text": {"type": "plain_text", "text": HOSTILE}},
    {"type": "section", "text": {"type": "plain_text", "text": HOSTILE}},
    {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": HOSTILE}]}]},
    {"type": "table", "rows": [[{"type": "raw_text", "text": "what"}], [{"type": "raw_text", "text": HOSTILE}]]},
    {"type": "image", "image_url": "https://evil.example/pixel.png", "alt_text": "a pixel"},
    {"type": "section", "text": {"type": "mrkdwn", "text": "<javascript:alert(1)|press> <https://a.example|docs>"}},
    {"type": "container", "child_blocks": "nonsense"},
    {"type": "plan", "tasks": 7},
]


def test_hostile_text_stays_text(open_page: OpenPage) -> None:
    """Plain text, raw cells and rich-text leaves hold no markup; pictures and odd links of others are not followed."""
    page = open_page(path="?cards")

    page.evaluate(
        "blocks => window.showCards([{ title: '', blocks, text: '', kind: 'message' }], { zone: 'UTC' })",
        HOSTILE_BLOCKS,
    )

    card = page.locator('[data-card="0"]')
    assert [text.strip() for text in card.get_by_text(HOSTILE).all_inner_texts()] == [HOSTILE] * 4
    assert card.locator("img, .mention, [role=img]").count() == 0
    assert card.get_by_role("link").all_inner_texts() == ["docs"]
    expect(card).to_contain_text("Picture: a pixel")


def test_dates_are_in_the_readers_zone(open_page: OpenPage) -> None:
    date = {"type": "date", "timestamp": 1_795_000_000, "format": "{date_short_pretty} {time}", "fallback": "then"}
    blocks = [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [date]}]}]
    page = open_page(path="?cards")

    page.evaluate(
        "blocks => window.showCards([{ title: '', blocks, text: '', kind: 'message' }], { now: '2026-11-19T00:00:00Z' })",
        blocks,
    )

    expect(page.locator('[data-card="0"]')).to_contain_text("yesterday 20:06")
