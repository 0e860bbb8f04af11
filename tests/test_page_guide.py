"""The guide of the demo's page, followed to its end as a first-time visitor follows it."""

from collections.abc import Callable

from page_visitor import Visitor
from page_visitor import open_page

from sandbox.postgres import LocalPostgres


def _newest(visitor: Visitor) -> str:
    return f"{visitor.world.stage.events('requested')[-1].request} · shop/prod"


def _approve(visitor: Visitor, who: str) -> None:
    visitor.wait(lambda: visitor.world.stage.events("shown")[-1].request in _newest(visitor))
    assert visitor.press(who, "Approve", _newest(visitor)) == {"error": None}


def _read_sql(visitor: Visitor, who: str) -> None:
    file = visitor.message(who, "The full SQL of R-1")["files"][0]
    assert visitor.send("GET", file["url"]).status == 200


def _break_and_approve(what: str) -> Callable[[Visitor, str], None]:
    def do(visitor: Visitor, who: str) -> None:
        assert "Nothing was broken" not in visitor.break_it(what)["told"]
        _approve(visitor, who)

    return do


def _let_it_get_old(visitor: Visitor, _who: str) -> None:
    visitor.post("/api/clock", forward_seconds=25 * 3600)


def _kill_and_start(visitor: Visitor, _who: str) -> None:
    for what in ("kill_bot", "start_bot", "release_table"):
        visitor.break_it(what)


DOES: dict[str, Callable[[Visitor, str], object]] = {
    "sql": _read_sql,
    "guest": _approve,
    "approve": _approve,
    "schema": lambda visitor, _who: visitor.get("/api/schema"),
    "log": lambda visitor, _who: visitor.get("/api/log"),
    "home": lambda visitor, who: visitor.post("/api/home", **{"as": who}),
    "edit_migration": _break_and_approve("edit_migration"),
    "change_prod": _break_and_approve("change_prod"),
    "expire": _let_it_get_old,
    "lock_table": _break_and_approve("lock_table"),
    "kill_bot": _kill_and_start,
}
"""What a visitor does for a step beside typing its line."""


def test_guide_leads_a_visitor_to_its_end(local_postgres: LocalPostgres) -> None:
    """Each step is undone until its words are followed; they name who does it, where, and what to type."""
    with open_page(local_postgres) as visitor:
        steps = visitor.state("U0ANA")["guide"]
        assert len(steps) == len({step["id"] for step in steps}) == 16

        for step in steps:
            assert step["id"] == "run" or not visitor.step(step["id"])  # a run may be faster than we are
            who = step["as"] or "U0ANA"
            if step["fill"] == "/migrate push prod":
                visitor.ask(who)
            elif step["fill"]:
                assert visitor.say(who, step["fill"], channel=step["channel"]) == {"error": None, "told": None}
            DOES.get(step["id"], lambda _visitor, _who: None)(visitor, who)
            visitor.wait(lambda step=step: visitor.step(step["id"]))

        assert [step["id"] for step in visitor.state("U0ANA")["guide"] if not step["done"]] == []
        visitor.wait(lambda: len({one.request for one in visitor.world.stage.events("succeeded")}) == 2)
