"""What of the advisors' findings is new: a comparison of keys, pure."""

from datetime import UTC
from datetime import datetime
from typing import Any

from audit import Event
from ops.supabase.advisors import new_words
from ops.supabase.advisors import noted
from ops.supabase.models import Lint


def lint(key: str, level: str = "WARN", detail: str = "") -> Lint:
    return Lint(name="a_rule", title=f"Title of {key}", level=level, detail=detail, cache_key=key)


def event(data: dict[str, Any] | None) -> Event:
    return Event(
        seq=1,
        id="one",
        at=datetime(2026, 11, 23, tzinfo=UTC),
        kind="advisors_noted",
        actor="system:runner",
        project="shop",
        environment="prod",
        request="R-1",
        stream="request:R-1",
        place=1,
        data=data,
        commitment="",
        previous="",
        hash="",
    )


def test_nothing_is_new_the_first_time() -> None:
    first = noted([lint("a"), lint("b", "ERROR")], None)

    assert first == {"keys": ["a", "b"], "new": [], "counts": {"WARN": 1, "ERROR": 1}, "is_first": True}


def test_what_was_not_there_before_is_new_the_worst_first() -> None:
    before = event({"keys": ["a", "gone"], "new": [], "counts": {}})

    found = noted([lint("a"), lint("c"), lint("b", "ERROR"), lint("b", "ERROR")], before)

    assert [one["title"] for one in found["new"]] == ["Title of b", "Title of c"]
    assert found["keys"] == ["a", "b", "c"]
    assert new_words(found["new"]) == "; 2 new findings of the advisors: error: Title of b; warn: Title of c"
    assert new_words([]) == ""


def test_erased_note_is_as_none_and_secrets_are_covered() -> None:
    token = "sbp_" + "0" * 40
    found = noted([lint("a", detail=f"uses {token}\nand more")], event({"keys": [], "new": [], "counts": {}}))

    assert noted([lint("a")], event(None))["is_first"]
    assert token not in str(found)
    assert "\n" not in found["new"][0]["detail"]
