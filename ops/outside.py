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
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.history import read_history
from ops.layer import Ops
from ops.outside_memory import Memory
from ops.outside_memory import Remembered
from ops.people import Actor
from ops.requests import occupant_of
from ops.targets import Target

WATCH = Actor("system:watch")

_STATES = ("state_noted", "changed_outside", "adopted")
"""The kinds of events that say what state a target is in."""

_FIRST_LOOK = "it was looked at for the first time"
_AFTER_A_RUN = "what our runs did since then is accounted for"
_AFTER_A_HALF = "a run ended half-way, so nobody can say what its state should be"


@dataclass(frozen=True)
class Accounted:
    """The state of a target that the log accounts for.

    `history_sha256` is of the rows without those of `applied_since`, which our runs added after it was noted;
    `schema_sha256` is what the last of these left.
    """

    history_sha256: str
    schema_sha256: str
    applied_since: tuple[str, ...]


def accounted_state(view: View, target: Target) -> Accounted | None:
    """What the target must look like if nobody but our runs changed it; None where nobody can say."""
    noted = _newest(view, target, _STATES)
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
    query = Query(
        project=target.project, environment=target.environment, kinds=("migration_applied",), after_seq=noted.seq
    )
    applied = [event.data for event in view.find(query) if event.data]
    state = noted.data["fingerprint"]
    return Accounted(
        history_sha256=state["history_sha256"],
        schema_sha256=applied[-1]["catalog_sha256"] if applied else state["schema_sha256"],
        applied_since=tuple(str(one["version"]) for one in applied),
    )


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
    is_same_history = bool(before.applied_since) or before.history_sha256 == now.history_sha256
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
        seen_before = _newest(view, target, _STATES)
        return _noted(target, now, _AFTER_A_HALF if seen_before else _FIRST_LOOK)
    remembered = memory.of(before.history_sha256, before.schema_sha256)
    what = _history_words(before, rows, remembered)
    objects: tuple[dict[str, str], ...] = ()
    if before.schema_sha256 != now.schema_sha256:
        objects = memory.changed_objects(remembered, now)
        what += _schema_words(objects)
    if not what:
        return _noted(target, now, _AFTER_A_RUN) if before.applied_since else None
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
    lost = sorted(ours - {row.version for row in rows})
    words = [f"The row of migration {version}, which we applied, is gone from the history." for version in lost[:20]]
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


def _newest(view: View, target: Target, kinds: Sequence[str]) -> Event | None:
    found = [view.last(kind=kind, project=target.project, environment=target.environment) for kind in kinds]
    return max((event for event in found if event), key=lambda event: event.seq, default=None)


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
