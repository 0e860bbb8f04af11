"""A world for tests of who must agree: the real ops layer over a real log, and what it asks of Slack, git and servers
answered from memory. A run is real but for its statements: behind the look at the plan, without a guard, files are applied.
"""

import hashlib
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from typing import TypeVar
from typing import cast

import pytest
from log_that_dies import Killed
from log_that_dies import LogThatDies
from log_that_dies import Remembering

from audit import Draft
from audit import Event
from audit import Log
from audit import schema
from audit.view import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Migration
from ops.one_time_code import code_at
from ops.one_time_code import step_at
from ops.people import Actor
from ops.people import Group
from ops.people import Person
from ops.plan import Plan
from ops.recheck import what_changed
from ops.recovery import Standing
from ops.repository import Author
from ops.repository import Commit
from ops.requests import Request
from ops.requests import fold
from ops.settings import Settings
from ops.status import Status
from ops.steps import Recorder
from ops.targets import Target

START = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
"""A Monday, within working hours."""

Answer = TypeVar("Answer")
State = tuple[tuple[tuple[str, str], ...], str]
"""The rows of a target's history, and its schema."""

ANYWHERE: Mapping[str, Any] = {
    "expires": "24h",
    "backup": "none",
    "rehearsal": "off",
    "watch": "off",
    "drift_check": "off",
}


def slack(user: str) -> Actor:
    return Actor(f"slack:T0ACME/{user}")


@dataclass
class Town:
    """Who there is, as Slack would say it now: problems of people, and groups by handle, each with its id and members."""

    problems: dict[str, str] = field(default_factory=dict)
    groups: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    are_known = True

    def person(self, user: str) -> Person:
        return Person(user, user, self.problems.get(user))

    def group(self, handle: str) -> Group:
        id, members = self.groups[handle]
        return Group(id, handle, members)


@dataclass(frozen=True)
class File:
    """A migration of a commit; `hazards` are pairs of class and level."""

    version: str
    sha256: str
    hazards: tuple[tuple[str, str], ...] = ()

    @property
    def filename(self) -> str:
        return f"{self.version}_change.sql"


@dataclass(frozen=True)
class Head:
    """A commit, and the e-mails of those who wrote it."""

    sha: str
    files: tuple[File, ...]
    emails: tuple[str, ...] = ("ana@acme.example",)


@dataclass
class Place:
    """A target as it is: its branch with all its commits, the rows of its history, and its schema."""

    head: Head
    commits: dict[str, Head] = field(default_factory=dict)
    rows: tuple[tuple[str, str], ...] = ()
    schema: str = "s"

    def move(self, head: Head) -> None:
        """The branch has a new head."""
        self.head = self.commits[head.sha] = head

    def apply(self, file: File) -> None:
        self.rows = (*self.rows, (file.version, file.sha256))
        self.schema = hashlib.sha256(f"{self.schema}{file.sha256}".encode()).hexdigest()

    def pending(self) -> tuple[File, ...]:
        """What of the head is to be run."""
        there = {version for version, _ in self.rows}
        return tuple(one for one in self.head.files if one.version not in there)

    def state(self) -> State:
        return (self.rows, self.schema)


@dataclass
class World:
    """All of it, with a clock that is moved by hand. `at_work` is called when the first statement of a run would be sent."""

    log: LogThatDies
    view: View
    town: Town = field(default_factory=Town)
    places: dict[str, Place] = field(default_factory=dict)
    now: datetime = START
    at_work: Callable[[Request], None] = lambda _: None
    acts: int = 0
    dies_at_work: bool = False

    def ops(self, settings: Settings) -> Ops:
        """The ops layer as a process that starts now has it: what it knows is in the log."""
        made = Ops(settings, cast(Log, self.log), self.town, now=lambda: self.now, runner="host/1")
        vars(made)["view"] = self.view  # one connection for all: to open one takes longer than most questions
        return made

    def act(self) -> str:
        """The id of the next act."""
        self.acts += 1
        return f"act-{self.acts}"

    def pass_time(self, **length: float) -> None:
        self.now += timedelta(**length)

    def new_morning(self) -> None:
        """The next day but one, or the Monday behind it, at eleven: whatever was asked for or held before is over."""
        self.now = (self.now + timedelta(days=2)).replace(hour=11, minute=0)
        self.now += timedelta(days=max(0, 8 - self.now.isoweekday()) % 8 if self.now.isoweekday() > 4 else 0)

    def code(self, user: str) -> str:
        """What this person's authenticator app shows now."""
        return code_at(secret_of(user), step_at(self.now))

    def enrol(self, ops: Ops, user: str) -> None:
        data = {"user": user, "sealed_sha256": "0" * 64}
        ops.log.append([Draft(kind="enrolled", actor="os:host/root", stream=f"factor:{user}", data=data)])

    def show(self, ops: Ops, request: Request) -> None:
        """What the bot's announcer does: the SQL is in the thread."""
        data = {"digest": request.digest, "how": "hash", "sha256": "0" * 64}
        ops.log.append([ops.draft("shown", Actor("system:slack"), request, data)])

    def forget(self, ops: Ops, request: Request) -> None:
        """End what still waits, so that nobody reads it again: all that is open is read whenever something is asked for."""
        if request.status is Status.WAITING:
            ops.log.append([ops.draft("cancelled", request.by, request, {"because": ""})])

    def plan(
        self,
        target: Target,
        repository: object,
        *,
        commit: str | None = None,
        anew: bool = False,
        progress: Progress = lambda _: None,
    ) -> Plan:
        """As `ops.plan.make_plan`, of what is here."""
        place = self.places[target.name]
        head = place.commits.get(commit) if commit else place.head
        if head is None:
            raise OpsError(Reason.COMMIT_NOT_ON_BRANCH, f"{commit} was taken out of the branch.", exit_code=3)
        there = {version for version, _ in place.rows}
        pending = tuple(one for one in head.files if one.version not in there)
        people = tuple(Author(email.partition("@")[0], email) for email in head.emails)
        rows = tuple(HistoryRow(version, None, sha256, 1) for version, sha256 in place.rows)
        fingerprint = Fingerprint(None, "db", target.name, "7", 170000, history_sha256(rows), place.schema)
        return Plan(
            target=target,
            commit=Commit(head.sha, "A change", START, people[0], people[0]),
            pending=tuple(_migration(one) for one in pending),
            fingerprint=fingerprint,
            hazards=tuple(hazard for one in pending for hazard in _hazards(one)),
            problems=(),
            skipped={},
            authors=people if pending else (),
            policy=target.settings.policy(),
            history=rows,
        )

    def carry_out(self, recorder: Recorder, target: Target, guard: object, standing: Standing | None) -> None:
        """As `ops.push_steps.run_scripts`: the look at the plan, then the files that the request names."""
        request = recorder.request
        place = self.places[target.name]
        if standing is None:
            changed = what_changed(recorder.ops, request, recorder.progress)
            if changed:
                raise OpsError(Reason.PLAN_CHANGED, "It changed.", exit_code=3, details={"changed": changed})
        self.at_work(request)
        for named in request.files:
            if self.dies_at_work:
                self.dies_at_work = False
                raise Killed
            file = File(named["version"], named["sha256"])
            if (file.version, file.sha256) in place.rows:
                continue
            place.apply(file)
            recorder.record("migration_applied", _applied(file, place))

    def stands(self, ops: Ops, request: Request, target: Target) -> Standing:
        """As `ops.recovery.where_it_stands`: whether the target is the base and a prefix of the plan."""
        place = self.places[target.name]
        files = [File(one["version"], one["sha256"]) for one in request.files]
        there = [one for one in files if (one.version, one.sha256) in place.rows]
        base = Place(Head("", ()), schema=request.plan["fingerprint"]["schema_sha256"])
        for file in there:
            base.apply(file)
        if base.schema != place.schema:
            return Standing(problem="the target is not as the run left it")
        untold = [one for one in there if one.version not in request.applied]
        return Standing(found=_applied(untold[0], place) if untold else None)


def _applied(file: File, place: Place) -> dict[str, object]:
    told = {"version": file.version, "name": "change", "sha256": file.sha256, "catalog_sha256": place.schema}
    return {**told, "statements": 1, "seconds": 0.0}


def _migration(file: File) -> Migration:
    return Migration(file.version, "change", file.filename, b"", file.sha256, "", (), (), (), ())


def _hazards(file: File) -> Iterator[Hazard]:
    for name, level in file.hazards:
        yield Hazard(f"{name}-rule", HazardClass(name), Level(level), file.version, 1, f"It is about {name}.", "")


def secret_of(user: str) -> bytes:
    return hashlib.sha256(user.encode()).digest()[:20]


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_FOLDED: dict[tuple[str, int], Request] = {}


def _folded(events: Sequence[Event]) -> Request:
    """The fold, of each story once: the hash of its last event stands for all before it."""
    key = (events[-1].hash, len(events))
    if key not in _FOLDED:
        if len(_FOLDED) > 1000:
            _FOLDED.clear()
        _FOLDED[key] = fold(events)
    return _FOLDED[key]


def _no_text(*_: object) -> tuple[Migration, ...]:
    raise OpsError(Reason.PLAN_CHANGED, "Nobody counts lines here.")


@contextmanager
def a_world(folder: Path) -> Iterator[World]:
    """A world with an empty log in this folder, on which nobody waits for the disk: no power is cut here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(schema.WRITER_PRAGMAS, "synchronous", 0)
        Log.create(folder / "audit.db")
        world: World
        log = Log.open(folder / "audit.db", clock=lambda: world.now)
        dying = LogThatDies(log)
        world = World(dying, Remembering(log._writer._connection, dying))
        kind = Kind(carry_out=world.carry_out, stands=world.stands)
        patch.setattr("ops.requests.fold", _folded)
        patch.setattr("ops.requesting.make_plan", world.plan)
        patch.setattr("ops.kinds.push.make_plan", world.plan)
        patch.setattr("ops.carrying.pending_of", _no_text)
        patch.setattr("ops.layer.project_repository", lambda settings, target: None)
        patch.setattr("ops.running._guard", lambda *_, **__: nullcontext())
        patch.setattr("ops.running.kind_of", lambda _: kind)
        patch.setattr("ops.second_factor.read_secret", lambda settings, user, sha256: secret_of(user))
        try:
            yield world
        finally:
            log.close()


def break_it(patch: pytest.MonkeyPatch, broken: Mapping[str, object]) -> None:
    """Put these in place of what has these names (`ops.rules.fill`), wherever it was imported."""
    for name, replacement in broken.items():
        module, _, attribute = name.rpartition(".")
        original = resolve_name(name)
        owners = [one for one in [*sys.modules.values()] if one and one.__name__.split(".")[0] in {"ops", __name__}]
        holders = [one for one in owners if vars(one).get(attribute) is original]
        for one in holders or [resolve_name(module)]:
            patch.setattr(one, attribute, replacement)


def beside(work: Callable[[], Answer]) -> Answer:
    """What this does, in a thread of its own: in the main one the log hands each act to its writer's, which takes as long as
    the act."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
