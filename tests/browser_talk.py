"""What people do on the demo's page in a browser, for tests: ask, become somebody, say yes, go somewhere."""

import os
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

from playwright.sync_api import Locator
from playwright.sync_api import Page
from playwright.sync_api import expect

from sandbox.page_world import World

AXE = os.environ.get("COUNTERSIGN_TEST_AXE", "")
MOST_TABS = 80
_numbers = count(1)


def fresh_table(world: World, seconds: float = 0) -> str:
    """Commit a migration that makes a new table on prod and takes so long; the table's name."""
    number = next(_numbers)
    name = f"shelf_{number}"
    sql = f"create table public.{name} (id bigint);\nselect pg_sleep({seconds});\n"
    world.stage.migration(f"2027010100{number:04}_create_{name}.sql", sql)
    return name


def composer(page: Page) -> Locator:
    return page.get_by_role("combobox", name=re.compile("^Message #"))


def ask(page: Page) -> Locator:
    """Ana asks for what is pending on prod; the card that appears."""
    before = answers(page).count()
    composer(page).fill("/migrate push prod")
    composer(page).press("Enter")
    return card_after(page, before)


def answers(page: Page) -> Locator:
    """What the bot said to Ana about her requests so far."""
    expect(composer(page)).to_be_visible()
    return page.locator("main .private h3", has_text="is asked for")


def card_after(page: Page, before: int) -> Locator:
    """The card of the request that is answered after so many others."""
    expect(answers(page)).to_have_count(before + 1)
    request = answers(page).last.inner_text().split()[0]
    heading = page.locator("h3", has_text=re.compile(f"^{request} ·"))
    return page.locator("main .message:not(.private)", has=heading)


def approve(within: Page | Locator) -> Locator:
    return within.get_by_role("button", name=re.compile("^Approve for prod"))


def become(page: Page, person: str) -> None:
    page.get_by_label("You are").select_option(person)
    expect(page.get_by_label("You are")).to_have_value(person)


def go(page: Page, place: str) -> None:
    page.get_by_role("navigation", name="Places").get_by_role("button", name=place).click()


def say_yes(card: Locator) -> None:
    approve(card).click()
    dialog = card.page.get_by_role("dialog", name=re.compile("Approve"))
    expect(dialog).to_contain_text("shop/prod")
    dialog.get_by_role("button", name="Yes").click()


def headlines(page: Page, card: Locator) -> Callable[[], list[str]]:
    """Follows what the card says from now on; gives all its headlines so far, in order."""
    page.evaluate(
        """selector => {
            window.headlines = [];
            const look = () => {
                const now = document.querySelector(selector)?.innerText;
                if (now && now !== window.headlines.at(-1)) window.headlines.push(now);
            };
            new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
            look();
        }""",
        f'main [data-ts="{card.get_attribute("data-ts")}"] h3',
    )
    return lambda: page.evaluate("window.headlines")


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab until the focus is there."""
    for _ in range(MOST_TABS):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{MOST_TABS} times {key} do not lead there")


def axe(page: Page) -> list[str]:
    """What axe calls serious or critical, with the first place where it is."""
    # The policy of the page forbids inline scripts; a debugger's evaluation is not bound by it.
    page.evaluate(Path(AXE).read_text())
    violations = page.evaluate("axe.run({ resultTypes: ['violations'] }).then(result => result.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in violations if one["impact"] in {"serious", "critical"}]
