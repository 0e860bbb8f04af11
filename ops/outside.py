"""What happened to a target without us: its state now, beside the one that the log accounts for."""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.database import connect
from ops.database import target_failed
from ops.deployed import newest_state
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.history import read_history
from ops.journal import APPLIED
from ops.layer import Ops
from ops.migration import Effect
from ops.occupying import occupant_of
from ops.outside_memory import Memory
from ops.outside_memory import Remembered
from ops.people import Actor
from ops.requests import find_request
from ops.scripts import removed_rows
from ops.targets import Target

WATCH = Actor("system:watch")

_FIRST_LOOK = "it was looked at for the first time"
_AFTER_A_RUN = "what our runs did since then is accounted for"
_AFTER_A_HALF = "a run ended half-way, so nobody can say what its state should be"


@dataclass(frozen=True)
class Accounted:
    """The state of a target that the log accounts for.

    `history_sha256` is of the rows without those of `applied_since`, which our runs added after it was noted, and with
    those of `removed_since`, which they took out; `schema_sha256` is what the last of these runs left.
    """

    history_sha256: str
    schema_sha256: str
    applied_since: tuple[str, ...]
    removed_since: tuple[HistoryRow, ...] = ()

    @property
    def has_runs_since(self) -> bool:
        return bool(self.applied_since or self.removed_since)


def accounted_state(view: View, target: Target) -> Accounted | None:
    """What the target must look like if nobody but our runs changed it; None where nobody can say."""
    noted = newest_state(view, target)
    if noted is None or noted.data is None:
        return None
    for kind in ("partially_applied", "recorded"):
        event = view.last(kind=kind, project=target.project, environment=target.environment)
        if (
            event is not None
            and event.seq > noted.seq
            and (kind == "recorded" or (event.data or {"within": 1})["within"])
        ):
            return None
    kinds = tuple(APPLIED.values())
    query = Query(project=target.project, environment=target.environment, kinds=kinds, after_seq=noted.seq)
    events = [event for event in view.find(query) if event.data]
    state = noted.data["fingerprint"]
    applied, removed = _rows_since(view, events)
    return Accounted(
        history_sha256=state["history_sha256"],
        schema_sha256=(events[-1].data or {})["catalog_sha256"] if events else state["schema_sha256"],
        applied_since=tuple(applied),
        removed_since=tuple(removed.values()),
    )


def _rows_since(view: View, events: Sequence[Event]) -> tuple[list[str], dict[str, HistoryRow]]:
    """The versions that these runs of ours added to the history, and the rows that they took out of it."""
    applied: list[str] = []
    removed: dict[str, HistoryRow] = {}
    for event in events:
        version = str((event.data or {})["version"])
        if event.kind == APPLIED[Effect.ADDS]:
            applied.append(version)
        elif event.kind == APPLIED[Effect.REMOVES] and version in applied:
            applied.remove(version)
        elif event.kind == APPLIED[Effect.KEEPS] or version in applied:
            pass
        else:
            applied += [version] if event.kind == APPLIED[Effect.WRITES] else []
            plan = find_request(view, event.request or "").plan
            removed |= {row.version: row for row in removed_rows(plan) if row.version == version}
    return applied, removed


def look(ops: Ops, target: Target, *, remember: bool = True) -> Event | None:
    """Read the target and write down what is new about it: `changed_outside`, or `state_noted` where nothing accounts for
    its state yet, or after our own runs. None when the log says it all already, or a run holds the target.

    `remember` keeps a copy of the schema as it is, so that the next look can name what changed. Raises OpsError when
    the target cannot be read.
    """
    place = ops.view.last_place(target.stream)
    if occupant_of(ops.view, target.stream) is not None:
        return None
    with closing(connect(target.database_url(), purpose=f"watch {target.name}")) as connection:
        try:
            rows = read_history(connection)
            now = read_fingerprint(connection, project_ref=target.settings.project_ref, history=rows)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    memory = Memory(ops, target)
    draft = _verdict(ops.view, target, rows, now, memory)
    if remember:
        memory.keep(rows, now)
    return _written(ops, target, draft, place) if draft is not None else None


def look_if_strange(ops: Ops, target: Target, now: Fingerprint, place: int) -> Event | None:
    """The same when a plan has just read the target: looks closer only when this is not the schema, or with no runs
    since not the history, that the log accounts for. What is new to the log is noted as it is, unless something
    happened to the target since its stream was at `place`, which was before the plan read it."""
    before = accounted_state(ops.view, target)
    if before is None:
        is_free = occupant_of(ops.view, target.stream) is None
        return _written(ops, target, _noted(target, now, _FIRST_LOOK), place) if is_free else None
    is_same_history = before.has_runs_since or before.history_sha256 == now.history_sha256
    if before.schema_sha256 == now.schema_sha256 and is_same_history:
        return None
    return look(ops, target, remember=False)


def _written(ops: Ops, target: Target, draft: Draft, place: int) -> Event | None:
    """The event, unless something happened to the target since the stream was at this place: then all may be different."""
    events = ops.log.transact(lambda view: [draft] if view.last_place(target.stream) == place else [])
    return events[0] if events else None


def _verdict(view: View, target: Target, rows: Sequence[HistoryRow], now: Fingerprint, memory: Memory) -> Draft | None:
    before = accounted_state(view, target)
    if before is None:
        seen_before = newest_state(view, target)
        return _noted(target, now, _AFTER_A_HALF if seen_before else _FIRST_LOOK)
    remembered = memory.of(before.history_sha256, before.schema_sha256)
    what = _history_words(before, rows, remembered)
    objects: tuple[dict[str, str], ...] = ()
    if before.schema_sha256 != now.schema_sha256:
        objects = memory.changed_objects(remembered, now)
        what += _schema_words(objects)
    if not what:
        return _noted(target, now, _AFTER_A_RUN) if before.has_runs_since else None
    data = {
        "what": what,
        "objects": list(objects),
        "before": {"history_sha256": before.history_sha256, "schema_sha256": before.schema_sha256},
        "fingerprint": now.to_json(),
    }
    return _draft("changed_outside", target, data)


def _history_words(before: Accounted, rows: Sequence[HistoryRow], remembered: Remembered) -> list[str]:
    ours = set(before.applied_since)
    earlier = [row for row in rows if row.version not in ours]
    again = {row.version for row in earlier} & {row.version for row in before.removed_since}
    earlier += [row for row in before.removed_since if row.version not in again]
    earlier.sort(key=lambda row: row.version)
    lost = sorted(ours - {row.version for row in rows})
    words = [f"The row of migration {version}, which we applied, is gone from the history." for version in lost[:20]]
    words += [f"Migration {version}, which a run of ours undid, is in the history again." for version in sorted(again)]
    if history_sha256(earlier) == before.history_sha256:
        return words
    if remembered.rows is None:
        return [*words, "The migration history is another one; which rows changed cannot be told any more."]
    known = {row.version: row for row in remembered.rows}
    there = {row.version: row for row in earlier}
    words += [
        f"Migration {_named(there[one])} was added to the history." for one in sorted(there.keys() - known.keys())
    ]
    words += [
        f"Migration {_named(known[one])} was taken out of the history." for one in sorted(known.keys() - there.keys())
    ]
    words += [
        f"What the history says of migration {_named(there[one])} was changed."
        for one in sorted(there.keys() & known.keys())
        if (there[one].sha256, there[one].name) != (known[one].sha256, known[one].name)
    ]
    return words[:50]


def _named(row: HistoryRow) -> str:
    return f"{row.version}_{row.name}" if row.name else row.version


def _schema_words(objects: Sequence[Mapping[str, str]]) -> list[str]:
    if not objects:
        return ["The schema was changed; which objects cannot be told, for no copy of it as it was is at hand."]
    return [f"The schema was changed: {len(objects)} object{'s' if len(objects) != 1 else ''}."]


def _noted(target: Target, now: Fingerprint, because: str) -> Draft:
    return _draft("state_noted", target, {"because": because, "fingerprint": now.to_json()})


def _draft(kind: str, target: Target, data: Mapping[str, Any]) -> Draft:
    return Draft(
        kind=kind,
        actor=WATCH.id,
        stream=target.stream,
        data=data,
        project=target.project,
        environment=target.environment,
    )
