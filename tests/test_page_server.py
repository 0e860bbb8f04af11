"""The server behind the demo's page: everything a visitor does and sees, over real HTTP, and everything hostile."""

import json
import re
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from page_visitor import DEPLOYS
from page_visitor import PARTNER
from page_visitor import Visitor
from page_visitor import open_page

from sandbox.postgres import LocalPostgres

ANA, BEN, DEE, GUS, OTTO = "U0ANA", "U0BEN", "U0DEE", "U0GUS", "U0OTTO"


@pytest.fixture(scope="module")
def visitor(local_postgres: LocalPostgres) -> Iterator[Visitor]:
    """A page of a world in which nothing is broken; its tests leave no request waiting."""
    with open_page(local_postgres) as made:
        yield made


# --- looking ------------------------------------------------------------------------------------------


def test_everybody_sees_their_own_workspace(visitor: Visitor) -> None:
    """People of the company see its channels; guests and people of other companies only those they are in."""

    def channels(who: str) -> list[tuple[str, bool]]:
        return [(one["name"], one["is_member"]) for one in visitor.state(who)["channels"]]

    assert channels(ANA) == [("deploys", True), ("with-partner", True), ("Countersign", True)]
    assert channels(DEE)[:2] == [("deploys", True), ("with-partner", False)]
    assert channels(GUS) == [("deploys", True), ("Countersign", True)]
    assert channels(OTTO) == [("with-partner", True)]
    people = {one["id"]: (one["can_act"], one["outside"]) for one in visitor.state(ANA)["people"]}
    assert people[ANA] == people[BEN] == (True, None)
    assert people[GUS] == (False, "guest")
    assert people[OTTO] == (False, "other company")


def test_state_tells_bot_clock_and_faults(visitor: Visitor) -> None:
    state = visitor.state(ANA)

    assert state["bot"] == {"up": True, "pid": visitor.world.bot_pid(), "restarts": 0}
    assert state["clock"]["ahead_seconds"] == 0
    assert state["faults"] == {"down": False, "rate_limited": False, "slow": False}
    assert state["names"][BEN] == "@Ben"
    assert state["names"]["S0OWNERS"] == "@database-owners"


def test_every_answer_forbids_what_a_page_must_not_do(visitor: Visitor) -> None:
    for path in ("/", "/api/state?as=U0ANA", "/api/state?as=nobody", "/nothing"):
        headers = visitor.send("GET", path).headers

        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [("/", "text/html", b"<!doctype html>"), ("/app.js", "text/javascript", b""), ("/app.css", "text/css", b"")],
)
def test_page_is_served_from_the_built_files(visitor: Visitor, path: str, kind: str, begins: bytes) -> None:
    found = visitor.send("GET", path)

    assert (found.status, found.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert found.body.lower().startswith(begins)
    assert len(found.body) > 100


def test_tables_and_history_are_those_of_the_databases(visitor: Visitor) -> None:
    dev, prod = visitor.get("/api/schema")["databases"]

    assert (dev["name"], len(dev["history"])) == ("dev", 17)
    assert (prod["name"], len(prod["history"])) == ("prod", 14)
    orders = {one["name"]: one for one in dev["tables"]}["public.orders"]
    assert {"name": "currency", "type": "text", "nullable": False, "default": "'EUR'::text"} in orders["columns"]
    assert "orders_open_idx" in orders["indexes"]
    assert orders["rows"] == visitor.world.stage.sql("dev", "select count(*) from public.orders")[0][0]


def test_log_is_paged_and_verified(visitor: Visitor) -> None:
    newest = visitor.get("/api/log?limit=1")
    assert newest["verified"]["ok"]
    assert newest["verified"]["problems"] == []
    assert newest["verified"]["events"] == newest["events"][0]["seq"]

    before = visitor.get(f"/api/log?limit=5&before={newest['events'][0]['seq']}")["events"]

    assert [one["seq"] for one in before] == sorted((one["seq"] for one in before), reverse=True)
    assert all(one["seq"] < newest["events"][0]["seq"] for one in before)
    assert before[-1]["kind"] == "configured"


# --- acting -------------------------------------------------------------------------------------------


def test_private_answer_is_for_one_person(visitor: Visitor) -> None:
    assert visitor.say(ANA, "/migrate plan prod") == {"error": None, "told": None}

    plan = visitor.message(ANA, "3 migrations pending")

    assert plan["only_for_me"]
    assert plan["is_bot"]
    assert plan["blocks"]
    assert not [one for one in visitor.state(BEN)["messages"] if "3 migrations pending" in one["text"]]


def test_words_without_a_slash_are_for_the_others(visitor: Visitor) -> None:
    visitor.say(ANA, "Morning @Ben, <b>look</b>")

    said = visitor.message(BEN, "Morning")

    assert said["text"] == "Morning <@U0BEN>, &lt;b&gt;look&lt;/b&gt;"
    assert (said["author_name"], said["is_bot"], said["only_for_me"]) == ("Ana", False, False)
    told = visitor.say(ANA, "hello?", channel="D0ANA")["told"]
    assert "Countersign reads only what is said to it" in told


def test_mention_in_a_thread_is_answered(visitor: Visitor) -> None:
    visitor.say(ANA, "Shall we?")
    root = visitor.message(ANA, "Shall we?")["ts"]

    assert visitor.say(ANA, "@countersign status", thread_ts=root) == {"error": None, "told": None}

    assert visitor.message(BEN, "> status")["thread_ts"] == root
    assert visitor.message(ANA, "shop")["only_for_me"]


@pytest.mark.parametrize(
    ("who", "text", "thread", "words"),
    [
        (ANA, "/deploy prod", False, "/deploy is not a valid command"),
        (ANA, "/migrate status", True, "does not work in a thread"),
        (OTTO, "/migrate push prod", False, "gives Otto no commands"),
    ],
)
def test_slack_itself_refuses_some_commands(visitor: Visitor, who: str, text: str, thread: bool, words: str) -> None:
    visitor.say(ANA, "a root", channel=PARTNER)
    root = visitor.message(ANA, "a root")["ts"] if thread else None

    assert words in visitor.say(who, text, channel=PARTNER, thread_ts=root)["error"]


def test_outsiders_are_refused_by_the_bot(visitor: Visitor) -> None:
    """A guest's command and the mention of somebody from another company arrive, and are refused."""
    visitor.say(GUS, "/migrate push prod")
    visitor.say(OTTO, "@Countersign push prod", channel=PARTNER)

    assert "guest" in visitor.message(GUS, "Not allowed")["text"]
    assert "another workspace" in visitor.message(OTTO, "Not allowed")["text"]
    assert visitor.world.stage.events("requested") == []
    assert visitor.step("partner")


def test_request_is_read_refused_by_a_form_and_rejected(visitor: Visitor) -> None:
    """The file is for who sees the channel; a form says what is wrong with it and stays; then the no counts."""
    number = visitor.ask()
    thread = visitor.message(ANA, f"full SQL of {number}")
    file = thread["files"][0]
    card = f"{number} · shop/prod"
    assert thread["thread_ts"] == visitor.message(ANA, card)["ts"]

    sql = visitor.send("GET", file["url"])
    assert sql.headers["content-type"] == "text/plain; charset=utf-8"
    assert len(sql.body) == file["length"]
    assert b"alter table public.orders add column currency" in sql.body
    assert visitor.send("GET", file["url"].replace(ANA, OTTO)).status == 400
    assert visitor.step("sql")

    visitor.press(GUS, "Approve", card)
    visitor.wait(lambda: visitor.step("guest"))

    assert visitor.press(BEN, "Reject", card) == {"error": None}
    visitor.wait(lambda: visitor.state(BEN)["modal"])
    modal = visitor.state(BEN)["modal"]
    assert (modal["title"], modal["submit"], modal["close"]) == ("Reject", "Reject", "Back")
    assert visitor.state(ANA)["modal"] is None
    form = {"as": BEN, "view": modal["id"]}

    def submit(reason: str | None) -> dict[str, Any]:
        values = {} if reason is None else {"reason": {"reason": reason}}
        return visitor.post("/api/submit", **form, values=values)

    assert submit(None)["errors"] == submit("")["errors"] == {"reason": "Please complete this required field."}
    assert submit("no")["errors"] == {"reason": "At least 3 characters, please."}
    assert submit("     ")["errors"] == {"reason": "Say why, in a sentence."}
    assert visitor.state(BEN)["modal"]["id"] == modal["id"]
    assert submit("not on a Friday") == {"error": None, "errors": {}}
    assert visitor.state(BEN)["modal"] is None
    visitor.wait(lambda: visitor.world.stage.events("rejected"))
    assert visitor.post("/api/submit", 400, **form, values={})["error"].startswith("Ben does not look at that form")
    assert visitor.message(ANA, card)["edited"]


def test_form_is_closed(visitor: Visitor) -> None:
    number = visitor.ask()
    visitor.press(BEN, "Reject", f"{number} · shop/prod")
    visitor.wait(lambda: visitor.state(BEN)["modal"])
    form = {"as": BEN, "view": visitor.state(BEN)["modal"]["id"]}

    assert visitor.post("/api/close", **form) == {"error": None}

    assert visitor.state(BEN)["modal"] is None
    assert visitor.post("/api/close", 400, **form)["error"]
    visitor.say(ANA, f"/migrate cancel {number}")
    visitor.wait(lambda: visitor.world.stage.events("cancelled"))


def test_home_is_opened(visitor: Visitor) -> None:
    assert visitor.state(DEE)["home"] is None

    assert visitor.post("/api/home", **{"as": DEE}) == {"error": None}

    visitor.wait(lambda: visitor.state(DEE)["home"])
    assert visitor.state(DEE)["home"]["blocks"]
    assert visitor.step("home")
    gone = visitor.post("/api/home/click", **{"as": DEE}, block_id="nowhere", action_id="nothing")
    assert gone == {"error": "there is no such button; the page may have changed."}


# --- hostile ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": None},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"X-Countersign-Demo": None},
        {"X-Countersign-Demo": "0"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": None},
    ],
    ids=str,
)
def test_another_site_cannot_act(visitor: Visitor, headers: dict[str, str | None]) -> None:
    said = json.dumps({"as": ANA, "channel": DEPLOYS, "text": "from elsewhere"}).encode()

    refused = visitor.send("POST", "/api/say", said, headers)

    assert refused.status in {400, 403}
    assert not [one for one in visitor.state(ANA)["messages"] if one["text"] == "from elsewhere"]


def test_another_site_cannot_look(visitor: Visitor) -> None:
    for path in ("/", "/app.js", "/api/state?as=U0ANA", "/api/log", "/api/schema", "/api/live?as=U0ANA"):
        assert visitor.send("GET", path, headers={"Host": "evil.example"}).status == 403
        assert visitor.send("GET", path, headers={"Origin": "http://evil.example"}).status == 403


SAY = {"as": ANA, "channel": DEPLOYS, "text": "hello"}
CLICK = {"as": ANA, "message": "1.000001", "block_id": "a", "action_id": "b"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("say", {**SAY, "as": "U0NOBODY"}),
        ("say", {**SAY, "as": "U0COUNTER"}),
        ("say", {**SAY, "channel": "C0NOWHERE"}),
        ("say", {**SAY, "channel": PARTNER, "as": GUS}),
        ("say", {**SAY, "channel": "D0BEN"}),
        ("say", {**SAY, "text": "  "}),
        ("say", {**SAY, "text": "x" * 4001}),
        ("say", {**SAY, "text": 7}),
        ("say", {**SAY, "more": True}),
        ("say", {**SAY, "thread_ts": "1.000001"}),
        ("say", {"as": ANA}),
        ("say", []),
        ("click", CLICK),
        ("click", {**CLICK, "message": "../../etc/passwd"}),
        ("submit", {"as": ANA, "view": "V0NONE", "values": {}}),
        ("submit", {"as": ANA, "view": "V0NONE", "values": {"a": "b"}}),
        ("close", {"as": ANA, "view": "V0NONE"}),
        ("modal/click", {"as": ANA, "view": "V0NONE", "block_id": "a", "action_id": "b"}),
        ("home/click", {"as": "U0AUDRA", "block_id": "a", "action_id": "b"}),
        ("clock", {"forward_seconds": 0}),
        ("clock", {"forward_seconds": -5}),
        ("clock", {"forward_seconds": 10**12}),
        ("clock", {"forward_seconds": 1.5}),
        ("faults", {"down": "yes"}),
        ("faults", {"on_fire": True}),
        ("break", {"what": "everything"}),
    ],
    ids=str,
)
def test_nonsense_is_refused_in_a_sentence(visitor: Visitor, path: str, body: Any) -> None:
    refused = visitor.send("POST", f"/api/{path}", json.dumps(body).encode())

    assert refused.status == 400
    assert re.fullmatch(r".+\.", refused.json["error"])
    assert "Traceback" not in refused.json["error"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"as": "U0ANA", "channel": "C0DEPLOYS", "text": "\\ud800"}']
)
def test_what_is_no_json_is_refused(visitor: Visitor, body: bytes) -> None:
    assert visitor.send("POST", "/api/say", body).status == 400


def test_huge_body_is_refused(visitor: Visitor) -> None:
    assert visitor.send("POST", "/api/say", b" " * 70_000).status == 413


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/state", 400),
        ("/api/state?as=U0COUNTER", 400),
        ("/api/live?as=x", 400),
        ("/api/log?before=-1", 400),
        ("/api/log?limit=1001", 400),
        ("/api/log?limit=%EF%BC%91", 400),
        ("/api/file/F0NONE?as=U0ANA", 400),
        ("/api/file/..%2f..%2fetc%2fpasswd?as=U0ANA", 400),
        ("/../../etc/passwd", 404),
        ("/%2e%2e/page.py", 404),
        ("/static/app.js", 404),
        ("/api/say", 405),
    ],
)
def test_odd_addresses_lead_nowhere(visitor: Visitor, path: str, status: int) -> None:
    found = visitor.send("GET", path)

    assert found.status == status
    assert found.json["error"]


# --- live ---------------------------------------------------------------------------------------------


def test_changes_are_told_live(visitor: Visitor) -> None:
    """Messages, faults and the clock all change the revision; silence does not."""
    with visitor.live(GUS) as revisions:
        seen = [next(revisions)]
        acts: list[Callable[[], object]] = [
            lambda: visitor.say(ANA, "news"),
            lambda: visitor.post("/api/faults", slow=True),
            lambda: visitor.post("/api/faults", slow=False),
            lambda: visitor.post("/api/clock", forward_seconds=1),
        ]
        for act in acts:
            act()
            seen.append(next(revisions))

    assert seen == sorted(set(seen))
    assert visitor.state(GUS)["revision"] >= seen[-1]
    assert visitor.world.revision() == visitor.world.revision()


def test_nobody_is_looked_for_who_has_left(visitor: Visitor) -> None:
    """A closed browser costs nothing: the looking ends with the connection."""
    looks = []
    ask = visitor.world.revision
    visitor.world.revision = lambda: looks.append(1) or ask()  # type: ignore[method-assign,func-returns-value]
    with visitor.live(GUS) as revisions:
        next(revisions)
        visitor.wait(lambda: len(looks) > 2)

    def is_quiet() -> bool:
        before = len(looks)
        time.sleep(0.3)
        return len(looks) == before

    visitor.wait(is_quiet, seconds=5)
    del visitor.world.revision
