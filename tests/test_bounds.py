"""What a bot keeps in memory while it is up for months, and how many acts at once it takes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

from people_talk import rules
from test_home import Owners
from test_policy import NOW
from test_policy import a_request

from audit import Log
from bot.desk import Desk
from bot.floods import Floods
from bot.home import Home
from bot.home import Recently
from bot.intake import Act
from bot.slack_api import SlackApi
from bot.store import Card
from bot.store import Store
from commands.home_page import Overview
from ops.layer import Ops
from ops.people import Actor
from ops.settings import load_settings
from sandbox.stage import Stage

Make = Callable[..., Stage]
ANA, BEN = Actor("slack:T0ACME/U0ANA"), Actor("slack:T0ACME/U0BEN")


class Slack(SlackApi):
    """Says yes to everything."""

    def __init__(self) -> None:
        pass

    def call(self, method: str, *, seconds: float = 0, **arguments: Any) -> dict[str, Any]:
        return {"ok": True}

    def ask(self, method: str, *, seconds: float = 0, **arguments: str) -> dict[str, Any]:
        return {"permalink": f"https://acme.slack.com/{arguments['message_ts']}"}


def test_who_looked_long_ago_and_what_they_saw_is_forgotten(make_stage: Make, tmp_path: Path) -> None:
    stage = make_stage(prod=rules(), empty=True)
    times = [NOW]
    store = Store(tmp_path / "state.db")
    for number in ("R-1", "R-2"):
        store.keep(Card(number, "C0DEPLOYS", number, "", ""))
    with Log.open(stage.log_path) as log:
        ops = Ops(load_settings(stage.config), log, people=Owners(), now=lambda: times[-1])
        home = Home(ops, Slack(), store)
        one = a_request(id="R-1", expires_at=NOW + timedelta(days=9))
        home._overview = Overview([one], [one], [], [])
        home._show(ANA, asked=True)
        home._show(BEN, asked=True)
        assert (home._shown.keys(), home._links._known.keys()) == ({ANA.id, BEN.id}, {"R-1"})

        times.append(NOW + timedelta(hours=23))
        home._show(BEN, asked=True)
        times.append(NOW + timedelta(hours=25))
        two = replace(one, id="R-2")
        home._overview = Overview([two], [two], [], [])
        home._show(BEN, asked=True)
        assert (home._shown.keys(), home._followed.keys()) == ({BEN.id}, {BEN.id})
        home._show(BEN, asked=True)
        assert home._links._known.keys() == {"R-2"}


def test_answers_about_people_are_forgotten_when_they_are_old() -> None:
    asked = Recently(lambda who: who)
    for number in range(50):
        asked(f"U{number}")
    asked._found = {who: (0.0, found) for who, (_, found) in asked._found.items()}
    asked("U0ANA")
    assert asked._found.keys() == {"U0ANA"}


def test_a_thousand_who_type_at_once_are_all_taken(make_stage: Make, tmp_path: Path) -> None:
    stage = make_stage(empty=True)
    busy, done = Event(), []
    with Log.open(stage.log_path) as log, ThreadPoolExecutor(1) as pool:
        pool.submit(busy.wait, 60)
        ops = Ops(load_settings(stage.config), log, people=Owners())
        desk = Desk(
            ops, Slack(), Store(tmp_path / "state.db"), pool, pool, done.append, Floods(log, ops.now), ANA.team or ""
        )
        for number in range(1000):
            desk.take(Act(f"slack:{number}", ANA, "clicked", verb="refresh", value="refresh"))
        busy.set()
        pool.submit(lambda: None).result(60)
    assert len(done) == 1000
