"""Who may stop what, as a table; and what a cancel on the server hits, and never hits."""

import threading
from contextlib import closing
from datetime import UTC
from datetime import datetime
from datetime import timedelta

import psycopg
import pytest
from apply_helpers import ListJournal
from apply_helpers import apply
from apply_helpers import fresh_target
from apply_helpers import in_background
from apply_helpers import is_sleeping
from apply_helpers import migration
from apply_helpers import until

from ops.apply_journal import CommitIntent
from ops.errors import Reason
from ops.guard import cancel_statement
from ops.people import Actor
from ops.policy import Decision
from ops.policy import refused
from ops.requests import Request
from ops.status import Status
from ops.stopping import may_stop


def test_a_commit_is_never_cancelled() -> None:
    said = threading.Event()
    journal = ListJournal(before=lambda entry: said.set() if isinstance(entry, CommitIntent) else None)
    with fresh_target() as target:
        apply(target, migration("create table a (i int)"), journal=journal, stop=said.is_set)
        assert target.has("public.a")
    assert said.is_set()
    assert journal.outcomes() == ["done"]


def test_a_cancel_hits_one_backend_and_never_a_later_one_of_its_number() -> None:
    with fresh_target() as target, closing(target.connect("asleep")) as asleep:
        row = asleep.execute(
            "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        ).fetchone()
        assert row is not None
        pid, since = row
        with in_background(lambda: asleep.execute("select pg_sleep(60)")) as results:
            until(lambda: is_sleeping(target))
            assert not cancel_statement(target.connection, pid, "2020-01-01T00:00:00Z")
            with closing(psycopg.connect(target.admin_url, autocommit=True)) as admin:
                admin.execute("CREATE ROLE watcher IN ROLE pg_read_all_stats")
                admin.execute("SET ROLE watcher")
                assert not cancel_statement(admin, pid, since)  # not allowed, and no error
                admin.execute("RESET ROLE")
                admin.execute("DROP ROLE watcher")
            assert is_sleeping(target)
            assert cancel_statement(target.connection, pid, since)
    assert isinstance(results[0], psycopg.errors.QueryCanceled)
    assert not asleep.broken


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
YES = Decision(True)
NO_REQUESTER = refused(Reason.NOT_A_REQUESTER, "You may not request anything on shop/prod.")
NO_MEMBER = refused(Reason.NOT_A_MEMBER, "You cannot use Countersign here: you are a guest.")
A, D = Actor("slack:T0ACME/U0ANA"), Actor("slack:T0ACME/U0DEE")
RULES = [
    ("its requester", A, YES, Status.RUNNING, None),
    ("its requester, who is no requester any more", A, NO_REQUESTER, Status.RUNNING, None),
    ("its requester, who is a guest by now", A, NO_MEMBER, Status.RUNNING, Reason.NOT_A_MEMBER),
    ("another requester", D, YES, Status.RUNNING, None),
    ("somebody else", D, NO_REQUESTER, Status.RUNNING, Reason.NOT_A_REQUESTER),
    ("a terminal user of the host", Actor("os:host/root"), YES, Status.RUNNING, None),
    ("its requester when it is done", A, YES, Status.SUCCEEDED, Reason.NOT_RUNNING),
    ("its requester when it failed", A, YES, Status.FAILED, Reason.NOT_RUNNING),
    ("its requester when it was interrupted", A, YES, Status.INTERRUPTED, Reason.NOT_RUNNING),
    ("its requester when it expired", A, YES, Status.EXPIRED, Reason.NOT_RUNNING),
]


@pytest.mark.parametrize(
    ("actor", "as_requester", "status", "reason"), [row[1:] for row in RULES], ids=[r[0] for r in RULES]
)
def test_who_may_stop_what(actor: Actor, as_requester: Decision, status: Status, reason: Reason | None) -> None:
    request = Request(
        id="R-7",
        kind="push",
        project="shop",
        environment="prod",
        by=A,
        digest="a" * 64,
        commit="c" * 40,
        plan={"policy": {"approvals": 1, "unknown_authors": "show"}, "files": []},
        hazards=(),
        authors=(),
        unknown_authors=(),
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        place=9,
        status=status,
        ended_at=NOW,
    )
    decision = may_stop(request, actor, as_requester, "U0ANA", NOW)
    assert decision.reason is reason
    assert decision.allowed is (reason is None)
