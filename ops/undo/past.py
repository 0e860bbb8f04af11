"""What a request left on its target, as far as it is still there and nothing newer stands on it."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import NoReturn

import psycopg

from audit import Event
from audit import Query
from ops.database import connect
from ops.database import target_failed
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.history import HistoryRow
from ops.history import file_sha256
from ops.history import history_sha256
from ops.history import read_history
from ops.journal import APPLIED
from ops.layer import Ops
from ops.migration import Effect
from ops.migration import Migration
from ops.people import Actor
from ops.plan import pending_of
from ops.requests import PUSH
from ops.requests import RESUME
from ops.requests import UNDOING
from ops.requests import Request
from ops.requests import find_request
from ops.requests import requests_about
from ops.requests import undone_by
from ops.scripts import scripts_in
from ops.status import Status
from ops.targets import Target

KINDS = (PUSH, RESUME)
"""The kinds of requests that run migration files: what others did is taken back by asking for the opposite."""

_NO_WAY_BACK = "There is no way back from that."

_RAN = frozenset({Status.SUCCEEDED, Status.PARTIALLY_APPLIED, Status.FAILED})


@dataclass(frozen=True)
class Past:
    """A request that ran, beside its target as it is now. `chain` is it and what it went on with, newest first.

    `rows` are the history's rows of its files that stand, newest first, `files` those files in the order in which they ran,
    `others` all other rows. `half` is the version of a file of it that ran in part, which no row of the history tells, and
    that no other request has taken back. `left_sha256` is the catalog hash that the run left, None where it is not known.
    """

    actor: Actor
    request: Request
    chain: tuple[Request, ...]
    target: Target
    rows: tuple[HistoryRow, ...]
    files: tuple[Migration, ...]
    others: tuple[HistoryRow, ...]
    now: Fingerprint
    half: str | None
    left_sha256: str | None

    @property
    def base_sha256(self) -> str:
        """The catalog hash that the target had before the first of the files, as the plan says that people approved."""
        return str(self.chain[-1].plan["fingerprint"]["schema_sha256"])

    @property
    def is_as_left(self) -> bool:
        """Whether nobody has changed the schema since."""
        return self.now.schema_sha256 == self.left_sha256

    @property
    def is_as_before(self) -> bool:
        """Whether schema and history are, to the last object and row, as before the first of the files."""
        return self.now.schema_sha256 == self.base_sha256 and not self.rows

    def half_file(self, ops: Ops) -> Migration | None:
        """That file, whole."""
        if self.half is None:
            return None
        files = pending_of(ops.repository(self.target), self.request.commit, self.request.files)
        return next((one for one in files if one.version == self.half), None)


def look_back(ops: Ops, request: Request, actor: Actor) -> Past:
    """A request beside its target, for who asks how to undo it. Reads only.

    Raises OpsError: NOT_ALLOWED for what never ran, cannot be undone by this, was gone on with or applied again, or has
    something newer standing on it (with what is to be undone instead, or first), and what reading raises.
    """
    chain = tuple(chain_of(ops, request))
    for one in reversed(chain):
        _check_ran(one)
    _check_last(ops, request)
    target = ops.target_of(request)
    with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
        try:
            rows = read_history(connection)
            now = read_fingerprint(connection, project_ref=target.settings.project_ref, history=rows)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    events = _of_rows(ops, target)
    mine = frozenset(version for one in chain for version in _own(events, one))
    standing = tuple(row for row in reversed(rows) if row.version in mine)
    others = tuple(row for row in rows if row.version not in mine)
    half = None if undone_by(ops.view, request) else request.ending.get("within")
    if standing or half is not None:
        _check_newest(chain, others, events)
    else:
        _check_not_again(chain, others, events)
    return Past(
        actor=actor,
        request=request,
        chain=chain,
        target=target,
        rows=standing,
        files=_files(ops, chain, standing),
        others=others,
        now=now,
        half=half,
        left_sha256=_left(ops, chain, standing),
    )


def _check_ran(request: Request) -> None:
    status, number = request.status, request.id
    if request.kind not in KINDS:
        what = "about a function" if request.kind == "functions" else f"a {request.kind}"
        _refuse(f"{number} is {what}, which ran no migrations of a branch.", _opposite(request))
    if status is Status.INTERRUPTED:
        hint = f"Look at the target, then `cancel {number} <what you found>`; what is there then can be undone."
        if request.settlement is None:
            _refuse(f"{number} was interrupted, and nobody has said yet what is on {request.target}.", hint)
    elif status is Status.RUNNING:
        _refuse(f"{number} still runs.", f"To end it: `stop {number}`.")
    elif status is Status.WAITING:
        _refuse(f"{number} has not run.", f"To take it back: `cancel {number}`.")
    elif status not in _RAN:
        _refuse(f"{number} is {status.value} and never ran: there is nothing to undo.", f"Look: `show {number}`.")


def _opposite(request: Request) -> str:
    """What takes back what a request of another kind did, as far as anything does."""
    if request.kind == "functions":
        slug = request.plan["facts"]["function"]
        return f"`functions {request.environment} rollback {slug}` puts back what the function {slug} ran before."
    if request.kind in UNDOING:
        return f"`push {request.environment}` applies again what it took back."
    scripts = scripts_in(request.plan)
    reverted = [one.version for one in scripts if one.effect in {Effect.ADDS, Effect.WRITES} and one.row is None]
    applied = [one.version for one in scripts if one.effect is Effect.REMOVES]
    lines = [
        f"`repair {request.environment} {how} {' '.join(versions)}`"
        for how, versions in (("reverted", reverted), ("applied", applied))
        if versions
    ]
    return f"The opposite is {' and '.join(lines)}." if lines else _NO_WAY_BACK


def _check_last(ops: Ops, request: Request) -> None:
    """Raises OpsError where another request went on with this one: both are taken back together, by the later."""
    later = next((one for one in requests_about(ops.view, request) if one.kind == RESUME and _did_run(one)), None)
    if later is not None:
        _refuse(f"{later.id} went on with {request.id}.", f"Undo both at once: `rollback {later.id}`.")


def _did_run(request: Request) -> bool:
    """Whether it began, and is not known to have left nothing."""
    return request.started_at is not None and request.status not in {Status.FAILED, Status.SUPERSEDED}


def _of_rows(ops: Ops, target: Target) -> list[Event]:
    """Every event of the target's that says that our runs changed its history, oldest first."""
    kinds = (APPLIED[Effect.ADDS], APPLIED[Effect.REMOVES])
    query = Query(project=target.project, environment=target.environment, kinds=kinds, limit=100_000)
    return [event for event in ops.view.find(query) if event.data]


def _own(events: Iterable[Event], request: Request) -> frozenset[str]:
    """The versions that this request was the last to apply: another one may have applied them again."""
    last = {str(event.data["version"]): event for event in events if event.data}
    adds = APPLIED[Effect.ADDS]
    found = {version for version, event in last.items() if event.request == request.id and event.kind == adds}
    settled = request.settlement.versions if request.settlement else ()
    planned = {str(one["version"]) for one in request.files}
    return frozenset(found) | {version for version in settled if version in planned and version not in last}


def chain_of(ops: Ops, request: Request) -> Iterator[Request]:
    """The request, and what it went on with: a half that was finished is taken back with its other half."""
    yield request
    while request.kind == RESUME and request.of is not None:
        request = find_request(ops.view, request.of)
        yield request


def _check_newest(chain: Sequence[Request], others: Sequence[HistoryRow], events: Sequence[Event]) -> None:
    """Raises OpsError when something that came later is in the history too: it may rest on what would go."""
    request, numbers = chain[0], {one.id for one in chain}
    if history_sha256(others) == chain[-1].plan["fingerprint"]["history_sha256"]:
        return
    there = {row.version for row in others}
    first = min((event.seq for event in events if event.request in numbers), default=0)
    later = {
        event.request
        for event in events
        if event.data and event.seq > first and event.request not in numbers and event.data["version"] in there
    }
    if later:
        newest_first = sorted(filter(None, later), key=_number, reverse=True)
        undone = ", then ".join(f"`rollback {one}`" for one in newest_first)
        _refuse(f"On {request.target} {' and '.join(newest_first)} came after {request.id}.", f"Undo first: {undone}.")
    newest = max(str(one["version"]) for one in request.files)
    newer = sorted(version for version in there if version > newest)
    if newer:
        words = f"{', '.join(newer[:5])}{f' and {len(newer) - 5} more' if len(newer) > 5 else ''}"
        _refuse(
            f"On {request.target} {words} came after {request.id}, and not through this log.",
            "What is newest has to go first.",
        )
    _refuse(
        f"The history of {request.target} is another one than before {request.id}, apart from its own rows.",
        f"See what changed: `history {request.environment}`.",
    )


def _check_not_again(chain: Sequence[Request], others: Sequence[HistoryRow], events: Sequence[Event]) -> None:
    """Raises OpsError where the files of it that are in the history were applied by a request after it."""
    request, there = chain[0], {row.version for row in others}
    planned = {str(one["version"]) for one in request.files} & there
    last = {event.data["version"]: event for event in events if event.data and event.data["version"] in planned}
    numbers = {event.request for event in last.values() if event.kind == APPLIED[Effect.ADDS] and event.request}
    after = sorted((one for one in numbers if _number(one) > _number(request.id)), key=_number, reverse=True)
    if after:
        _refuse(
            f"Nothing of {request.id} itself is on {request.target}: {' and '.join(after)} applied the same files again.",
            f"To undo that: {', then '.join(f'`rollback {one}`' for one in after)}.",
        )


def _number(request: str) -> int:
    return int(request.removeprefix("R-"))


def _files(ops: Ops, chain: Sequence[Request], standing: Sequence[HistoryRow]) -> tuple[Migration, ...]:
    """The files behind these rows. Raises OpsError when a row does not hold what the file says."""
    if not standing:
        return ()
    request = chain[0]
    repository = ops.repository(ops.target_of(request))
    if not all(repository.has_commit(one.commit) for one in chain):
        repository.update()
    files = {file.version: file for one in reversed(chain) for file in pending_of(repository, one.commit, one.files)}
    for row in standing:
        if row.sha256 != file_sha256(files[row.version]):
            _refuse(
                f"The history's row {row.version} of {request.target} is no longer what {request.id} wrote.",
                f"See what changed: `history {request.environment}`.",
            )
    return tuple(files[row.version] for row in reversed(standing))


def _left(ops: Ops, chain: Sequence[Request], standing: Sequence[HistoryRow]) -> str | None:
    """The catalog hash behind the last of its files; of a run that ended within a file, that at its end."""
    if chain[0].ending.get("within") is not None:
        found: str | None = chain[0].ending.get("catalog_sha256")
        return found
    if not standing:
        return None
    adds = APPLIED[Effect.ADDS]
    events = [event for one in reversed(chain) for event in ops.view.events(stream=one.stream)]
    hashes = {
        event.data["version"]: event.data["catalog_sha256"] for event in events if event.kind == adds and event.data
    }
    return str(hashes[standing[0].version]) if all(row.version in hashes for row in standing) else None


def _refuse(message: str, hint: str) -> NoReturn:
    raise OpsError(Reason.NOT_ALLOWED, message, hint, exit_code=3)
