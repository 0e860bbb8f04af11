"""What the tests of undoing from rows share: a project on a real server, whose pushes are undone from this process."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import psycopg
import pytest
from apply_helpers import Target as Applied
from apply_helpers import apply
from apply_helpers import migration

from audit import Log
from ops.apply_session import Session
from ops.layer import Ops
from ops.layer import host_name
from ops.people import Actor
from ops.prior.taking import Taking
from ops.prior.taking import Where
from ops.prior.touching import touches
from ops.proposing import propose
from ops.requests import Request
from ops.requests import find_request
from ops.running import carry_out
from ops.settings import load_settings
from ops.targets import Target
from ops.targets import find_target
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import look_back
from ops.undo_data import data_ways
from sandbox.stage import Stage

KEEPS = 'approvals = 0\nbackup = "none"\nprior_copy = "64MB"\n'
"""Rules of an environment where nobody approves, nothing is backed up, and copies are taken."""

WITH_BACKUP = 'approvals = 0\nbackup = "restored"\n'
"""The same where backups are taken and proven, and no copies."""


@dataclass
class Undoing:
    """The prod target of a stage. Files get versions of their own, in the order in which they are pushed."""

    stage: Stage
    monkeypatch: pytest.MonkeyPatch
    pushed: int = field(default=0)

    def push(self, sql: str) -> str:
        """Push one more file to prod; the request's number."""
        self.pushed += 1
        self.stage.migration(f"2026010{self.pushed}000000_file{self.pushed}.sql", sql)
        ran = self.stage.cli("push", "prod", "--json")
        assert ran.code == 0, ran.out + ran.err
        return str(ran.json["request"])

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return self.stage.sql("prod", query)

    def rows(self, table: str, *columns: str) -> tuple[Any, ...]:
        """How many rows there are, and one number for what is in these columns, whatever their order."""
        listed = ", ".join(columns)
        query = f"SELECT count(*), sum(hashtextextended(ROW({listed})::text, 0))::text FROM {table}"
        return self.sql(query)[0]

    def copies(self) -> list[dict[str, Any]]:
        """The copies that the log tells of, without those of definitions."""
        found = [copy for event in self.stage.events("prior_copied") for copy in (event.data or {})["copies"]]
        return [copy for copy in found if copy["what"] != "schema"]

    def left_out(self) -> list[str]:
        return [said for event in self.stage.events("prior_copied") for said in (event.data or {})["left_out"]]

    def kept_tables(self) -> list[str]:
        query = (
            "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('countersign_undo') AND relkind = 'r'"
        )
        return [name for (name,) in self.sql(query)]

    @contextmanager
    def ops(self) -> Iterator[tuple[Ops, Target]]:
        for name, value in self.stage.environment.items():
            if name.endswith("DATABASE_URL"):
                self.monkeypatch.setenv(name, value)
        settings = load_settings(self.stage.config)
        with Log.open(self.stage.log_path) as log:
            yield Ops(settings, log), find_target(settings, "prod")

    def offer(self, request: str, way: Way) -> Offer:
        """What is offered for undoing this request in this way."""
        with self.ops() as (ops, _):
            return look(ops, request, way)

    def undo(self, request: str, way: Way) -> tuple[Offer, Request]:
        """Undo a request in this way, which must be open; the offer, and the request that undid it."""
        with self.ops() as (ops, _):
            offer = look(ops, request, way)
            assert offer.proposal is not None, offer.because
            return offer, run(ops, offer)


def run(ops: Ops, offer: Offer) -> Request:
    """Ask for what is offered, and run it."""
    assert offer.proposal is not None
    asked = propose(ops, offer.proposal, Actor(f"os:{host_name()}/tests"), f"act {offer.way} {offer.proposal.digest}")
    return carry_out(ops, asked.id)


def look(ops: Ops, request: str, way: Way) -> Offer:
    past = look_back(ops, find_request(ops.view, request), Actor(f"os:{host_name()}/tests"))
    return data_ways(ops, past, lambda _: None)[way]()


@pytest.fixture
def undoing(make_stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Undoing]:
    """Make such a project with rules of its own: `undoing(WITH_BACKUP)`."""

    def make(prod: str = KEEPS) -> Undoing:
        return Undoing(make_stage(empty=True, prod=prod), monkeypatch)

    return make


def taken(target: Applied, sql: str, *, limit: int = 2**20, **how: Any) -> Taking:
    """Apply one file as a run does; the copies of its last statement."""
    file = migration(sql)
    found = touches(file)
    all_taken: list[Taking] = []

    def carry_out(session: Session, index: int, send: Callable[[], object]) -> None:
        taking = Taking(session.connection, Where("R-7", "20260101000000", index, 1, limit), session.watch)
        for touch in found.get(index, ()):
            taking.before(touch)
        sent = send()
        taking.after(sent.rowcount if isinstance(sent, psycopg.Cursor) else None)
        all_taken.append(taking)

    apply(target, file, carry_out=carry_out, **how)
    return all_taken[-1]
