"""What a file leaves on the target is compared with what it left on the copy, before its COMMIT where it has one."""

import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from apply_helpers import MIXED
from apply_helpers import QUICK
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import fresh_target
from apply_helpers import migration
from apply_helpers import never

from ops.apply import Applied
from ops.apply import apply_migration
from ops.apply_session import Sessions
from ops.as_rehearsed import AsRehearsed
from ops.catalog import catalog_hash
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.history import read_versions
from ops.migrations import Migration
from ops.people import Actor
from ops.requests import Request
from ops.turns import Turns

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PLAIN = migration("create table public.a (i int primary key);", "20260101000000_a.sql")
SECOND = migration("alter table public.a add column j int;", "20260102000000_b.sql")
NOT_PLAIN = migration("do $$ begin create table public.a (i int); end $$;", "20260101000000_a.sql")
PARTS = migration(MIXED, "20260101000000_a.sql")
DIFFERS = "0" * 64


@pytest.fixture
def target() -> Iterator[Target]:
    with fresh_target() as fresh:
        yield fresh


def a_request(expected: dict[str, str] | None, level: str = "required") -> Request:
    listed = expected and [{"version": one, "catalog_sha256": sha256} for one, sha256 in expected.items()]
    plan = {"policy": {"rehearsal": level, "approvals": 1, "approvers": []}, "files": [], "expected": listed}
    asked: dict[str, Any] = {"requested_at": NOW, "expires_at": NOW, "place": 1, "by": Actor("os:host/ana")}
    return Request("R-7", "push", "shop", "prod", asked.pop("by"), "d", "c", plan, (), (), (), **asked)


def apply(
    target: Target, as_rehearsed: AsRehearsed, *files: Migration, journal: ListJournal | None = None
) -> list[Applied]:
    """Apply these files as a run does, in one row."""
    with (
        Guard(partial(target.connect, "guard"), "shop/prod") as guard,
        closing(Sessions()) as sessions,
    ):
        done = []
        for number, file in enumerate(files):
            done.append(
                apply_migration(
                    file,
                    connect=partial(target.connect, "migrate"),
                    guard=guard,
                    patience=QUICK,
                    journal=journal or ListJournal(),
                    stop=never,
                    expect_history=read_versions(target.connection),
                    sessions=sessions,
                    following=files[number + 1] if number + 1 < len(files) else None,
                    check_catalog=as_rehearsed.before_commit(file),
                )
            )
            as_rehearsed.behind(file, done[-1].catalog_sha256)
        return done


def hash_after(*files: Migration) -> list[str]:
    """The catalog hash that each of these files leaves on an empty target."""
    with fresh_target() as fresh:
        return [one.catalog_sha256 for one in apply(fresh, AsRehearsed(a_request(None)), *files)]


def test_what_is_as_on_the_copy_is_committed(target: Target) -> None:
    first, second = hash_after(PLAIN, SECOND)
    as_rehearsed = AsRehearsed(a_request({PLAIN.version: first, SECOND.version: second}))

    apply(target, as_rehearsed, PLAIN, SECOND)

    assert read_versions(target.connection) == (PLAIN.version, SECOND.version)
    assert (as_rehearsed.differing, as_rehearsed.said()) == ([], "")


@pytest.mark.parametrize("file", [PLAIN, NOT_PLAIN], ids=["a plain file", "a DO block"])
def test_what_is_not_as_on_the_copy_is_rolled_back(target: Target, file: Migration) -> None:
    before = catalog_hash(target.connection)
    journal = ListJournal()

    with pytest.raises(OpsError) as caught:
        apply(target, AsRehearsed(a_request({file.version: DIFFERS})), file, journal=journal)

    error = caught.value
    assert (error.reason, error.exit_code, error.details["remains"]) == (Reason.NOT_AS_REHEARSED, 1, "")
    assert error.message == (
        "20260101000000_a.sql did something else on shop/prod than on the copy: the schema behind it is not the one that "
        "was rehearsed. Nothing of this file remains on the target."
    )
    assert "`push prod --with-data`" in error.hint
    assert (read_versions(target.connection), catalog_hash(target.connection)) == ((), before)
    assert journal.outcomes() == ["rolled_back"]
    assert error.details["expected_catalog"] == DIFFERS


def test_the_second_of_two_files_sent_as_one_message_each_is_compared_too(target: Target) -> None:
    first, _ = hash_after(PLAIN, SECOND)
    journal = ListJournal()
    as_rehearsed = AsRehearsed(a_request({PLAIN.version: first, SECOND.version: DIFFERS}))

    with pytest.raises(OpsError) as caught:
        apply(target, as_rehearsed, PLAIN, SECOND, journal=journal)

    assert caught.value.reason is Reason.NOT_AS_REHEARSED
    assert SECOND.filename in caught.value.message
    assert read_versions(target.connection) == (PLAIN.version,)
    assert journal.outcomes() == ["done", "rolled_back"]
    assert catalog_hash(target.connection) == first


def test_what_is_not_one_transaction_is_compared_behind_it_and_stays(target: Target) -> None:
    with pytest.raises(OpsError) as caught:
        apply(target, AsRehearsed(a_request({PARTS.version: DIFFERS})), PARTS)

    assert caught.value.reason is Reason.NOT_AS_REHEARSED
    assert caught.value.details["remains"] == "It is on the target with its history row, and stays."
    assert read_versions(target.connection) == (PARTS.version,)


@pytest.mark.parametrize("file", [PLAIN, PARTS], ids=["one transaction", "parts"])
def test_where_a_rehearsal_is_only_shown_a_difference_is_said_and_the_run_goes_on(
    target: Target, file: Migration
) -> None:
    as_rehearsed = AsRehearsed(a_request({file.version: DIFFERS}, "shown"))

    apply(target, as_rehearsed, file)

    assert read_versions(target.connection) == (file.version,)
    assert as_rehearsed.differing == [file.filename]
    assert as_rehearsed.said() == "20260101000000_a.sql did something else than on the copy"


@pytest.mark.parametrize("level", ["required", "shown", "off"])
def test_where_nothing_is_expected_nothing_is_compared(target: Target, level: str) -> None:
    apply(target, AsRehearsed(a_request(None, level)), PLAIN)

    assert read_versions(target.connection) == (PLAIN.version,)


def test_an_old_request_without_the_key_expects_nothing() -> None:
    request = a_request(None)
    plan = {key: value for key, value in request.plan.items() if key != "expected"}

    assert replace(request, plan=plan).expected == {}


# --- turns -----------------------------------------------------------------------------------------------------------


def at_work(turns: Turns, key: str, told: list[str], over: threading.Event) -> Callable[[], None]:
    def work() -> None:
        with turns.turn(key, lambda: told.append(f"{key} waits")):
            told.append(f"{key} begins")
            over.wait(20)
            told.append(f"{key} ends")

    return work


def until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        threading.Event().wait(0.025)
    pytest.fail("it did not happen in time")


def test_the_same_work_is_done_by_one_while_the_other_waits() -> None:
    turns, told, over = Turns(2), [], threading.Event()
    threads = [threading.Thread(target=at_work(turns, "a", told, over)) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: told == ["a begins", "a waits"])

    over.set()

    for thread in threads:
        thread.join(20)
    assert told == ["a begins", "a waits", "a ends", "a begins", "a ends"]


def test_a_third_waits_for_one_of_two_places() -> None:
    turns, told = Turns(2), []
    overs = {name: threading.Event() for name in "abc"}
    threads = {name: threading.Thread(target=at_work(turns, name, told, overs[name])) for name in "abc"}
    for name in "abc":
        threads[name].start()
        until(lambda name=name: any(one.startswith(name) for one in told))
    assert told == ["a begins", "b begins", "c waits"]

    overs["b"].set()
    until(lambda: "c begins" in told)

    assert "a ends" not in told
    for name in "abc":
        overs[name].set()
        threads[name].join(20)


def test_after_the_end_nobody_begins_and_who_waits_is_told() -> None:
    turns, told, over = Turns(1), [], threading.Event()
    caught: list[Any] = []

    def waits() -> None:
        try:
            at_work(turns, "b", told, over)()
        except OpsError as error:
            caught.append(error)

    first = threading.Thread(target=at_work(turns, "a", told, over))
    first.start()
    until(lambda: "a begins" in told)
    second = threading.Thread(target=waits)
    second.start()
    until(lambda: "b waits" in told)

    turns.close()

    second.join(20)
    assert [one.reason for one in caught] == [Reason.STOPPED]
    assert turns.is_over()
    over.set()
    first.join(20)
    with pytest.raises(OpsError, match="This process ends"), turns.turn("c", lambda: None):
        pytest.fail("it began")
