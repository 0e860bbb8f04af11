"""Events a page at a time, in Slack and at the terminal: the names in a question, the buttons, the file, who may."""

import re
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import DEE
from people_talk import GUS
from people_talk import small
from people_talk import told
from people_talk import wait_for
from test_settings import GOOD
from test_settings import load

from ops.errors import OpsError
from ops.log_questions import asked_of
from ops.log_questions import is_question
from ops.log_questions import typed_again
from ops.people import Group
from ops.people import NoPeople
from ops.people import Person
from sandbox.stage import Stage

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PEOPLE = '\n[people]\n"ana@acme.example" = "U0ANA"\n'


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("kind:approved", "env:prod"), "kind:approved env:prod"),
        (("kind:approved env:prod",), "kind:approved env:prod"),
        (("kind:approved orders",), "kind:approved orders"),
        (("text:add orders",), 'text:"add orders"'),
        (("add orders", "env:prod"), '"add orders" env:prod'),
        (("orders env:prod -actor:@ana",), "orders env:prod -actor:@ana"),
        (("text:add orders kind:approved",), "text:add orders kind:approved"),
        (('text:"add orders"',), 'text:"add orders"'),
        (("at 12:30",), '"at 12:30"'),
    ],
)
def test_a_question_is_the_same_after_its_quotes_were_taken_off(arguments: tuple[str, ...], text: str) -> None:
    assert typed_again(arguments) == text


def test_one_plain_word_is_an_environment() -> None:
    assert not any(map(is_question, ((), ("prod",), ("shop/prod",))))
    assert all(map(is_question, (("env:prod",), ("prod", "orders"), ("add orders",))))


class Directory(NoPeople):
    def group(self, handle: str) -> Group:
        return Group("S1", handle, frozenset({"U0BEN", "U0CHI"}))

    def person(self, user: str) -> Person:
        raise AssertionError


@pytest.mark.parametrize(
    ("name", "actors"),
    [
        ("@ana", ("U0ANA", "ana")),
        ("ana", ("U0ANA", "ana")),
        ("ana@acme.example", ("U0ANA", "ana@acme.example")),
        ("zed", ("zed",)),
        ("@U0ZED", ("U0ZED",)),
        ("os:host/zed", ("os:host/zed",)),
        ("@database-owners", ("U0BEN", "U0CHI")),
        ("!subteam^S1", ("U0BEN", "U0CHI")),
        ("<!subteam^S1|@database-owners>", ("U0BEN", "U0CHI")),
    ],
)
def test_whom_a_name_means(tmp_path: Path, name: str, actors: tuple[str, ...]) -> None:
    settings = load(tmp_path, GOOD + PEOPLE)
    [values] = asked_of(f"actor:{name}", settings, Directory(), NOW).values("actor")
    assert values == actors


def test_nobody_is_guessed(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD + PEOPLE)
    with pytest.raises(OpsError, match="@zed is nobody whom the configuration names"):
        asked_of("actor:@zed", settings, Directory(), NOW)
    with pytest.raises(OpsError, match="no group that the configuration names"):
        asked_of("actor:!subteam^S9", settings, Directory(), NOW)
    with pytest.raises(OpsError, match="cannot prove who @database-owners is"):
        asked_of("actor:@database-owners", settings, NoPeople(), NOW)


def words(stage: Stage, who: str, line: str) -> str:
    return told(stage.slack.say(who, f"/migrate {line}"))


def numbers(text: str) -> list[int]:
    """The events that are shown, in order; Slack shows them in blocks and in text."""
    return list(dict.fromkeys(int(one) for one in re.findall(r"#(\d+)", text)))


def test_pages_in_slack_and_at_the_terminal(make_stage: Callable[..., Stage]) -> None:
    """One stage for all of it: to start a bot takes longer than what is asked here."""
    stage = small(make_stage)
    for _ in range(4):
        words(stage, ANA, "status")
    wait_for(lambda: len(stage.events("answered")) >= 4)

    first = words(stage, ANA, "history kind:commanded --limit 2")
    assert len(numbers(first)) == 2
    assert numbers(first) == sorted(numbers(first), reverse=True)
    assert "[Older]" in first
    assert "[Newer]" not in first
    second = told(stage.slack.click(ANA, "Older"))
    assert max(numbers(second)) < min(numbers(first))
    assert numbers(told(stage.slack.click(ANA, "Newer"))) == numbers(first)
    queried = [event.data or {} for event in stage.events("queried")]
    assert [(one["query"], one["rows"]) for one in queried] == [("kind:commanded", 2)] * 3

    # what the button of somebody else carries is worth nothing, nor what was made up, nor a line that is no question
    value = _value_of(stage, "older")
    assert re.fullmatch(r"older [0-9a-f]{16}", value)
    forged = [(DEE, value), (ANA, "older 0123456789abcdef"), (ANA, "older history kind:approved"), (ANA, "older")]
    for who, said in forged:
        assert "was given to somebody else" in told(stage.slack.forge(who, value=said, action_id="older"))
    assert "was given to somebody else" in told(
        stage.slack.forge(ANA, value=value.replace("older", "export"), action_id="export")
    )
    assert "guest" in words(stage, GUS, "history kind:commanded")

    # the file is for auditors and approvers
    refused = told(stage.slack.click(ANA, "Export all as CSV"))
    assert "You may not read the log of what others did" in refused
    assert not stage.events("exported")
    words(stage, BEN, 'history "status" kind:commanded')
    assert "5 events exported" in told(stage.slack.click(BEN, "Export all as CSV"))
    [exported] = stage.events("exported")
    expected = {"format": "csv", "query": "text:status kind:commanded", "rows": 5}
    assert expected.items() <= (exported.data or {}).items(), "with the question itself"
    [file] = [one for one in stage.slack.state.files.values() if one.name == "events.csv"]
    lines = (file.content or b"").decode().splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("seq,id,at,kind,actor")

    # the word does the same; the terminal has the file beside it
    assert "You may not read the log of what others did" in words(stage, ANA, "export kind:approved")
    assert "guest" in words(stage, GUS, "export kind:approved")
    assert "--out names a file of the terminal's host" in words(stage, BEN, "export kind:commanded --out x.csv")
    assert "sent to you directly" in words(stage, BEN, "export actor:@database-owners kind:commanded")
    wrote = stage.cli("export", "text:status", "kind:commanded", "--json").json
    assert (wrote["rows"], wrote["file"]) == (6, "events.csv"), "and that this was said"
    assert (stage.folder / "events.csv").read_text().count(",commanded,") == 6
    assert [(event.data or {})["query"] for event in stage.events("exported")[1:]] == [
        "actor:U0BEN,U0CHI kind:commanded",
        "text:status kind:commanded",
    ]

    # and `audit` leads to what Slack has of it
    assert "No event for kind:requested" in words(stage, ANA, "audit query kind:requested")
    assert "You may not read the log of what others did" in words(stage, ANA, "audit export kind:approved")
    assert "does not work here" in words(stage, BEN, "audit erase --seqs 1")
    period = "--from 2020 --to 2099 --sample 2 --seed x"
    assert "You may not read the log of what others did" in words(stage, DEE, f"population {period}")
    assert "0 changes of production" in words(stage, BEN, f"audit population {period}")
    assert "takes a period" in words(stage, BEN, "population --from 2020")
    newest = stage.events("exported")[-1]
    assert (newest.actor, (newest.data or {})["query"]) == (
        "slack:T0ACME/U0BEN",
        "population from 2020 to 2099, a sample of 2 with seed x",
    )

    assert "actor: is nothing" not in words(stage, ANA, "history actor:@ben")
    assert "Did you mean approved?" in words(stage, ANA, "history kind:aproved")
    assert "No event for kind:frozen" in words(stage, ANA, "history kind:frozen")
    assert "no environment 'prdo' now. Did you mean prod?" in words(stage, ANA, "history env:prdo kind:approved")
    assert "no environment" not in words(stage, ANA, "history env:shop/prod kind:frozen")
    assert "To look for a word: /migrate history text:orders." in words(stage, ANA, "history orders")
    assert '1 event for text:"add orders"' in words(stage, ANA, 'history "add orders"')
    assert "no environment 'prdo' now. Did you mean prod?" in stage.cli("audit", "query", "env:prdo").out

    ran = stage.cli("history", "kind:commanded", "text:status", "--limit", "3")
    assert len(numbers(ran.out)) >= 3
    before = re.search(r"older ones: countersign (history kind:commanded text:status --limit 3 --before \d+)", ran.out)
    assert before
    rest = stage.cli(*before[1].split(), "--json").json
    assert {event["kind"] for event in rest["events"]} == {"commanded"}
    assert max(event["seq"] for event in rest["events"]) < min(numbers(ran.out))
    answered = stage.cli("audit", "query", "kind:commanded text:status", "-kind:refused", "--json").json
    assert answered["query"] == "kind:commanded text:status -kind:refused"
    answered = stage.cli("audit", "query", "kind:commanded text:status", "--limit", "2", "--json").json
    assert answered["query"] == "kind:commanded text:status"


def _value_of(stage: Stage, verb: str) -> str:
    """What the newest button with this verb carries."""
    found: list[Any] = [
        element["value"]
        for message in stage.slack.state.messages.values()
        for block in message.blocks
        for element in block.get("elements", [])
        if element.get("action_id") == verb
    ]
    assert found
    return str(found[-1])
