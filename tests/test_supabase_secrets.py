"""Secrets by name and digest: what is missing and shared, who may enter a value, and where a value must never be."""

import hashlib
from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest
from test_policy import ANA
from test_policy import BEN
from test_policy import DIGEST
from test_policy import POLICY
from test_policy import a_request

from commands.dispatch import commanded
from commands.words import Front
from ops.errors import OpsError
from ops.errors import Reason
from ops.giving_values import may_give
from ops.kinds import secrets as kind
from ops.kinds.secrets import Present
from ops.people import Actor
from ops.policy import Decision
from ops.said import Approval
from ops.supabase.env_reads import reads_of
from ops.supabase.models import Secret
from ops.supabase.secrets import Shared
from ops.supabase.secrets import listed
from ops.supabase.secrets import secret_hazards
from ops.supabase.secrets import shared_with
from ops.supabase.secrets import told_missing
from ops.value_links import GOOD_FOR
from ops.value_links import ValueLinks
from ops.values import MOST_BYTES
from ops.values import Value
from ops.values import Values
from ops.values import checked_value

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
READS = reads_of({"pay": ['Deno.env.get("STRIPE_KEY"); Deno.env.get("MODE") ?? "live"'], "mail": ["process.env.SMTP"]})
TERMINAL = Actor("os:desk/root")


def secret(name: str, value: str = "x", updated_at: str | None = None) -> Secret:
    return Secret(name=name, value=hashlib.sha256(value.encode()).hexdigest(), updated_at=updated_at)


def test_the_list_has_what_is_set_and_what_is_read_and_nothing_of_the_platform() -> None:
    there = [
        secret("SMTP", updated_at="2026-11-01T10:00:00Z"),
        secret("SUPABASE_URL"),
        secret("OLD", updated_at="soon"),
    ]
    found = {one.name: one for one in listed(READS, there, Shared({"SMTP": ("dev",)}))}
    assert list(found) == ["MODE", "OLD", "SMTP", "STRIPE_KEY"]
    assert [name for name, one in found.items() if one.is_missing] == ["MODE", "STRIPE_KEY"]
    assert found["MODE"].is_optional
    assert found["OLD"].updated_at is None
    assert found["SMTP"].updated_at == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert (found["SMTP"].functions, found["SMTP"].shared_with) == (("mail",), ("dev",))
    assert found["SMTP"].digest == hashlib.sha256(b"x").hexdigest()[:8]


def test_what_is_missing_or_shared_is_a_hazard_and_a_default_makes_it_worth_knowing_only() -> None:
    shared = shared_with([secret("SMTP"), secret("A", "1")], {"dev": [secret("SMTP"), secret("A", "2")], "eu": []})
    assert shared == {"SMTP": ("dev",)}
    found = secret_hazards(READS, [secret("SMTP")], Shared(shared), "prod")
    assert [(one.rule, one.level.value, one.message) for one in found] == [
        ("secret-missing", "info", "The function pay reads MODE, which is not set there; each has a default."),
        (
            "secret-missing",
            "caution",
            "The function pay reads STRIPE_KEY, which is not set there. `secrets prod set STRIPE_KEY` asks for it.",
        ),
        ("secret-shared", "caution", "SMTP has the same value there as on dev."),
    ]
    assert "secrets prod set STRIPE_KEY" in found[1].safe_way
    assert told_missing([one.to_json() for one in found]) == {"MODE", "STRIPE_KEY"}


@pytest.mark.parametrize(
    ("before", "shown", "value", "is_sure", "seen_by"),
    [
        pytest.param(Present(), [secret("A")], "x", True, "digest", id="new, and its digest agrees"),
        pytest.param(Present("old", ""), [secret("A", "other way of digesting")], "x", False, "digest", id="another digest"),
        pytest.param(
            Present(hashlib.sha256(b"q").hexdigest()[:8], "t1"), [secret("A", "q", "t2")], "x", False, "moment", id="set anew"
        ),
        pytest.param(
            Present(hashlib.sha256(b"q").hexdigest()[:8], "t1"), [secret("A", "q", "t1")], "x", True, "answer", id="as before"
        ),
        pytest.param(
            Present(hashlib.sha256(b"q").hexdigest()[:8], "t1"), [secret("A", "q", "t1")], "x", False, None, id="unknown"
        ),
        pytest.param(Present(), [None, None, secret("A")], "x", False, "digest", id="seen at the third look"),
        pytest.param(Present(), [None], "x", True, None, id="said to be set, and never listed"),
        pytest.param(Present("old", ""), [None], None, False, "gone", id="taken away"),
        pytest.param(Present("old", ""), [secret("A")], None, False, None, id="still there"),
    ],
)  # fmt: skip
def test_what_shows_that_it_came_about(
    before: Present, shown: list[Secret | None], value: str | None, is_sure: bool, seen_by: str | None
) -> None:
    looks = iter([*shown, *[shown[-1]] * 3])
    entered = Value(value) if value is not None else None
    found = kind._found(lambda: next(looks), before, entered, is_sure=is_sure, sleep=lambda _: None)
    assert (found or {}).get("seen_by") == seen_by


@pytest.mark.parametrize(
    "text",
    ["A=b", "«masked: value»", "lower", "1A", "A B", "A-B", "", "Ä", "SUPABASE_URL", "SB_REGION", "A" * 257, "A\n"],
)
def test_what_is_no_name_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(OpsError) as refused:
        kind.checked_name(text)
    assert refused.value.reason is Reason.BAD_USAGE
    assert text in {"", "A", "SUPABASE_URL", "SB_REGION"} or text not in refused.value.message


@pytest.mark.parametrize(
    "line",
    [
        "secrets prod set KEY hunter2",
        "secrets prod set KEY=hunter2",
        "secrets prod set hunter2",
        "/secrets prod set KEY 'hunter2",
        "secret prod set KEY hunter2 more",
        "SECRETS prod set KEY --from-stdin hunter2",
        "secrets prod set KEY HUNTER2",
        'secrets prod set "KEY hunter2"',
        "secrets hunter2",
        "secrets prod hunter2",
        "secrets set hunter2",
        "secrets set KEY=hunter2",
        "secrets set KEY hunter2",
        "secrets prod hunter2 KEY",
        "secrets hunter2 set KEY",
        "secrets KEY hunter2",
    ],
)
def test_a_value_that_somebody_typed_with_the_name_is_not_stored(line: str) -> None:
    stored = str(commanded(line, ANA, Front.SLACK, environments={"prod"}).data)
    assert "hunter2" not in stored.lower()
    assert ("prod" in stored) is ("prod" in line)
    assert "hunter2" not in str(commanded(line, ANA, Front.SLACK).data).lower()


def test_a_line_without_a_value_is_stored_as_it_was_typed() -> None:
    line = "secrets prod set STRIPE_KEY --from-stdin"
    data = commanded(line, TERMINAL, Front.TERMINAL, environments={"prod"}).data
    assert (data["text"], data["arguments"]) == (line, ["prod", "set", "STRIPE_KEY", "--from-stdin"])


def wish(how: str = "set", **more: Any) -> Any:
    return a_request(kind="secrets", plan={"policy": POLICY, "files": [], "facts": {"how": how, "secret": "A"}}, **more)


def yes(by: Actor, person: str) -> Approval:
    return Approval(by, NOW, DIGEST, person)


@pytest.mark.parametrize(
    ("request_", "actor", "reason"),
    [
        pytest.param(wish(), ANA, None, id="who asked"),
        pytest.param(wish(), TERMINAL, None, id="a requester at the terminal"),
        pytest.param(wish(), BEN, Reason.NOT_ALLOWED, id="somebody else in Slack"),
        pytest.param(wish(approvals=(yes(BEN, "U0BEN"),)), Actor("os:desk/ben"), Reason.SELF_APPROVAL, id="who said yes"),
        pytest.param(wish(approvals=(yes(TERMINAL, "x"),)), TERMINAL, Reason.SELF_APPROVAL, id="who said yes, by login"),
        pytest.param(wish("unset"), ANA, Reason.NOT_ALLOWED, id="nothing to enter"),
        pytest.param(a_request(), ANA, Reason.NOT_ALLOWED, id="a push"),
    ],
)  # fmt: skip
def test_who_may_enter_a_value(request_: Any, actor: Actor, reason: Reason | None) -> None:
    def slack_id(one: Actor) -> str | None:
        return one.user or {"os:desk/ben": "U0BEN"}.get(one.id)

    assert may_give(request_, actor, Decision(True), slack_id, request_.requested_at).reason is reason


def test_who_is_no_requester_any_more_enters_nothing() -> None:
    refused = Decision(False, Reason.NOT_A_REQUESTER, "no")
    assert may_give(wish(), ANA, refused, lambda one: one.user, wish().requested_at) is refused


def test_a_value_is_shown_by_nothing_and_held_no_longer_than_its_act() -> None:
    values, value = Values(), checked_value("hunter2\r\n")
    assert value.text == "hunter2"
    with values.hold("R-1", value):
        assert values.held("R-1") is value
        assert "hunter2" not in f"{value} {value!r} {values!r} {values.__dict__}"
        with pytest.raises(OpsError), values.hold("R-1", Value("other")):
            pass
    assert values.held("R-1") is None


@pytest.mark.parametrize("text", ["", " \n", "a\x00b", "ä" * (MOST_BYTES // 2 + 1), "\ud800"])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(OpsError):
        checked_value(text)


def test_a_link_is_good_once_for_ten_minutes_and_for_the_form_that_was_shown_last() -> None:
    links = ValueLinks()
    token, until = links.make("R-1", ANA, NOW)
    assert until == NOW + GOOD_FOR
    assert token not in str(links.__dict__)
    assert links.take(token, "", NOW) is None
    first, second = links.shown(token, NOW), links.shown(token, NOW)
    assert first is not None
    assert second is not None
    assert links.take(token, first.ticket, NOW) is None
    assert links.take("x" * 43, second.ticket, NOW) is None
    assert links.take(token, second.ticket, NOW) == second
    assert links.take(token, second.ticket, NOW) is None
    late, _ = links.make("R-1", ANA, NOW)
    assert links.shown(late, NOW + GOOD_FOR + timedelta(seconds=1)) is None
    links.make("R-1", ANA, NOW)
    assert links.shown(late, NOW) is None  # a newer one of the same person took its place


def test_many_links_do_not_pile_up() -> None:
    links = ValueLinks()
    made = [links.make(f"R-{number}", ANA, NOW)[0] for number in range(500)]
    good: Callable[[str], bool] = lambda token: links.shown(token, NOW) is not None  # noqa: E731
    assert sum(map(good, made)) == 200
    assert good(made[-1])
