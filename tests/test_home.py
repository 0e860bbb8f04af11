"""App Home: what each person finds there, how it is kept true, and that nothing else ever waits for it."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import GUS
from people_talk import OTTO
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import wait_for
from slack_rules import problems
from test_policy import NOW
from test_policy import a_request

from audit import Log
from bot.home import PUBLISHED_PER_MINUTE
from bot.render import blocks_of
from bot.store import Store
from commands.home_page import Overview
from commands.home_page import TargetState
from commands.home_page import home_pages
from commands.page import plain_page
from commands.plan_page import worst_hazard
from ops.debts import Debt
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.locking import Lock
from ops.occupying import Occupant
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.settings import load_settings
from ops.status import Status
from sandbox.slack_answer import until
from sandbox.stage import Stage

Make = Callable[..., Stage]
HOSTILE = "\u202e<!channel> *bold* `x` & <https://evil|prod> ציבורי "


def home(stage: Stage, who: str, words: str = "", seconds: float = 15) -> str:
    """This person's Home as they read it, once these words are on it."""
    found = until(lambda: text if words in (text := _shown(stage, who)) else None, seconds)
    assert found, f"{who} never reads {words!r}:\n{_shown(stage, who)}"
    return found


def _shown(stage: Stage, who: str) -> str:
    view = stage.slack.home(who)
    return stage.slack.render(view) if view else ""


def opened(stage: Stage, who: str) -> str:
    """Open Home; what is there."""
    assert stage.slack.open_home(who).error is None
    return home(stage, who, "==")


def published(stage: Stage, who: str = "") -> int:
    """How often Home was published, of one person or of all."""
    return sum(method == "views.publish" and who in body["user_id"] for _, method, body in stage.slack.calls)


def test_home_tells_what_waits_and_follows_what_happens(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    message = ask(stage)
    before = [event.id for event in stage.events()]
    link = f"R-1 (https://acme.slack.com/archives/C0DEPLOYS/p{message.ts.replace('.', '')})"

    ben = opened(stage, BEN)
    assert ben.startswith("== 1 request waits for you ==")
    assert f"{link} · shop/prod · 1 migration · danger: New table public.notes has no row-level security" in ben
    assert "by @Ana · expires 20" in ben
    assert "shop/dev: free · nothing deployed yet · no proven backup" in ben
    assert "shop/prod: free · 1 waiting" in ben
    assert "You have not asked for anything." in ben
    assert "[Refresh]" in ben
    assert "[Approve" not in ben
    ana = opened(stage, ANA)
    assert ana.startswith("== Nothing waits for you ==\nNext: see what would run with /migrate plan dev.")
    assert ana.count(f"{link} · shop/prod") == 2
    assert "waiting for approval, 0 of 2, expires 20" in ana
    assert opened(stage, DEE).startswith("== Nothing waits for you ==")
    assert [event.id for event in stage.events()] == before, "a look is no act"

    approve(stage, BEN)
    assert home(stage, BEN, "1 of 2, expires").startswith("== Nothing waits for you ==")
    home(stage, ANA, "1 of 2, expires")
    approve(stage, CHI)
    done = home(stage, ANA, "shop/prod: free · last deploy R-1 (https://")
    assert "· done 20" in done
    assert stage.slack.home(CHI) is None, "only for those who opened it"
    in_order(stage)


def test_home_tells_strangers_nothing(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)

    for who, why in ((GUS, "you are a guest"), (OTTO, "you belong to another workspace")):
        shown = opened(stage, who)
        assert shown.startswith(f"== Countersign shows you nothing here ==\nYou cannot use Countersign here: {why}.")
        assert not any(word in shown for word in ("R-1", "shop", "Ana", "Refresh"))
    assert "R-1" in opened(stage, BEN)
    stage.slack.workspace.change_person(BEN, is_restricted=True)
    stage.slack.open_home(BEN)
    assert "R-1" not in home(stage, BEN, "you are a guest")
    stage.slack.open_home("U0NOBODY")
    stage.slack.event({"type": "app_home_opened", "user": DEE, "tab": "messages", "channel": "D1"})
    stage.slack.event({"type": "app_home_opened", "user": None, "tab": "home"})
    settled(stage)
    assert stage.slack.home(DEE) is None
    in_order(stage)


def test_refresh_shows_home_anew_and_decides_nothing(make_stage: Make) -> None:
    stage = small(make_stage)
    message = ask(stage)
    opened(stage, BEN)
    before = published(stage)
    view = stage.slack.home(BEN)
    assert view is not None

    assert stage.slack.click_view(BEN, view, "Refresh").error is None
    wait_for(lambda: published(stage, BEN) > before)
    for who in (GUS, OTTO):
        stage.slack.forge(who, value="refresh", action_id="refresh", message_ts=message.ts)
        home(stage, who, "shows you nothing")
    told = stage.slack.forge(BEN, value=f"approve R-1 {'0' * 16}", action_id="refresh", message_ts=message.ts).text()
    assert "That button does not say which request" in told

    pressed = [(event.data or {})["verb"] for event in stage.events("clicked")]
    assert pressed == ["refresh"] * 4
    assert refusals(stage) == ["forged_value"]
    assert not stage.events("approved")
    in_order(stage)


def test_crowd_at_home_stays_within_slacks_limits_and_holds_up_no_card(make_stage: Make) -> None:
    stage = small(make_stage, rate_limits=True)
    crowd = [f"U0CROWD{number:02d}" for number in range(60)]
    for who in crowd:
        stage.slack.workspace.add_person(who, who.title())
        stage.slack.open_home(who)
    wait_for(lambda: published(stage) == PUBLISHED_PER_MINUTE)

    ask(stage)
    approve(stage, BEN)
    card(stage, "R-1 · shop/prod")
    wait_for(lambda: stage.events("succeeded"))
    settled(stage)

    assert published(stage) == PUBLISHED_PER_MINUTE
    assert sum(stage.slack.home(who) is not None for who in crowd) == PUBLISHED_PER_MINUTE
    in_order(stage)


@pytest.mark.parametrize("faults", [["not_enabled"], [503] * 4], ids=["has no Home", "is down"])
def test_home_that_slack_refuses_hurts_nothing_else(make_stage: Make, faults: list[str | int]) -> None:
    stage = small(make_stage)
    stage.slack.faults.add("views.publish", *faults)

    stage.slack.open_home(BEN)
    ask(stage)
    approve(stage, BEN)
    wait_for(lambda: stage.events("succeeded"))

    home(stage, BEN, "shop/prod: free · last deploy R-1")
    in_order(stage)


def test_home_is_kept_true_across_a_restart_and_only_when_something_changed(make_stage: Make) -> None:
    stage = small(make_stage, rules(2))
    opened(stage, BEN)
    stage.stop_bot()
    stage.cli("push", "prod")
    stage.start_bot()

    home(stage, BEN, "1 request waits for you")
    card(stage, "R-1 · shop/prod")
    before = published(stage)
    stage.slack.say(ANA, "/migrate status")
    stage.slack.say(DEE, "/migrate approve R-1")
    settled(stage, 3)
    assert published(stage) == before
    in_order(stage)


def test_store_forgets_who_looked_long_ago(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    store.note_home("slack:T0ACME/U0ANA", NOW - timedelta(hours=30))
    store.note_home("slack:T0ACME/U0BEN", NOW - timedelta(hours=30))
    store.note_home("slack:T0ACME/U0BEN", NOW)

    assert store.homes(since=NOW - timedelta(hours=24)) == {"slack:T0ACME/U0BEN": NOW}
    assert store.homes(since=NOW - timedelta(hours=48)) == {"slack:T0ACME/U0BEN": NOW}


class Owners:
    """Everybody is a full member; Ben and Chi are every group but @gone, of which nobody knows anything."""

    are_known = True

    def person(self, user: str) -> Person:
        return Person(user, user)

    def group(self, handle: str) -> Group:
        if handle == "@gone":
            raise OpsError(Reason.IDENTITY_UNPROVEN, "Slack has no user group @gone.")
        return Group("S0OWNERS", handle, frozenset({"U0BEN", "U0CHI"}))


@pytest.fixture
def ops(make_stage: Make) -> Any:
    stage = make_stage(prod=rules(), empty=True)
    with Log.open(stage.log_path) as log:
        yield Ops(load_settings(stage.config), log, people=Owners(), now=lambda: NOW)


def view_of(ops: Ops, seen: Overview) -> dict[str, Any]:
    """Ben's Home."""
    pages = home_pages(ops, seen, Actor("slack:T0ACME/U0BEN"))
    return {"type": "home", "blocks": [block for page in pages for block in blocks_of(page, tables=False)]}


def test_home_of_any_size_is_one_that_slack_takes(ops: Ops) -> None:
    hazard = {"level": "danger", "message": HOSTILE * 20, "rule": "x", "class": "locks", "version": "1", "line": 1}
    name = "a-name-that-goes-on-" * 3
    requests = [
        replace(a_request(), id=f"R-{number}", project=name, hazards=(hazard,) * 200, authors=(HOSTILE,))
        for number in range(1, 201)
    ]
    lock = Lock(Actor("slack:T0ACME/U0ANA"), NOW, NOW + timedelta(hours=1), HOSTILE * 20)
    occupant = Occupant("R-9", NOW, blocked=True)
    target = TargetState(name, name, occupant, lock, 200, (NOW, "restored"), ("R-8", NOW))
    running = [replace(one, status=Status.RUNNING, started_at=NOW) for one in requests[:5]]

    view = view_of(ops, Overview(requests, requests, running, [target] * 200))

    shown = json.dumps(view, ensure_ascii=False)
    assert problems([("views.publish", {"view": view})]) == []
    assert "200 requests wait for you" in shown
    assert "and 190 more; " in shown
    assert "and 185 more; " in shown
    assert "\u202e" not in shown
    assert all("<!channel>" not in block["text"]["text"] for block in view["blocks"] if block["type"] == "header")
    assert "mrkdwn" not in shown


def test_home_says_so_where_slack_does_not_say_who_may_approve(ops: Ops) -> None:
    known = a_request(id="R-1")
    unknown = [a_request(id=f"R-{number}", policy={"approvers": ["@gone"]}) for number in range(2, 10)]
    waiting = [*unknown, known, a_request(id="R-10", shown=None), a_request(id="R-11", authors=("U0BEN",))]

    shown = json.dumps(view_of(ops, Overview(waiting, waiting, [], [])))

    assert "1 request waits for you" in shown
    assert "whether R-2, R-3, R-4, R-5, R-6 and 3 more wait for you." in shown
    assert "R-10" not in shown


@pytest.mark.parametrize(
    ("occupant", "lock", "words"),
    [
        (None, None, "shop/prod: free · "),
        (Occupant("R-7", NOW, blocked=False), None, "shop/prod: running R-7 since 2026-11-23 12:00 UTC · "),
        (Occupant("R-7", NOW, blocked=True), None, "shop/prod: blocked by R-7, which was interrupted 2026-11-23 12:00"),
        (None, "the importer runs.", "shop/prod: locked by U0ANA until 2026-11-23 13:00 UTC (the importer runs) · "),
        (Occupant("R-7", NOW, blocked=False), "", "12:00 UTC, locked by U0ANA until 2026-11-23 13:00 UTC · nothing"),
    ],
)
def test_target_says_whether_it_is_free(ops: Ops, occupant: Occupant | None, lock: str | None, words: str) -> None:
    ana = Actor("slack:T0ACME/U0ANA")
    held = Lock(ana, NOW, NOW + timedelta(hours=1), lock) if lock is not None else None
    seen = Overview([], [], [], [TargetState("shop/prod", "prod", occupant, held, 0, None, None)])

    assert seen.changes_at == (held.until if held else None)
    assert words in "\n".join(plain_page(page) for page in home_pages(ops, seen, ana))


def test_target_says_what_review_is_owed_there(ops: Ops) -> None:
    ana = Actor("slack:T0ACME/U0ANA")
    debt = Debt("R-7", "shop", "prod", ana, NOW, NOW + timedelta(days=3), 2)
    seen = Overview([], [], [], [TargetState("shop/prod", "prod", None, None, 0, None, None, owed=[debt])])

    told = "\n".join(plain_page(page) for page in home_pages(ops, seen, ana))
    assert "shop/prod: free · review of R-7 owed, due 2026-11-26 12:00 UTC · nothing deployed yet" in told


def test_worst_hazard_comes_first_and_an_unknown_level_is_the_worst() -> None:
    kind = {"rule": "some-rule", "class": "data_loss"}
    mild, bad = (
        {**kind, "level": "info", "message": "A note."},
        {**kind, "level": "danger", "message": "It drops a column."},
    )
    odd = {**kind, "level": "odd", "message": "x" * 500}

    assert worst_hazard([]) == "no hazards"
    assert worst_hazard([mild]) == "info: A note"
    assert worst_hazard([mild, bad]) == "danger: It drops a column, and 1 more"
    assert worst_hazard([bad, odd]) == f"odd: {'x' * 79}…, and 1 more"
