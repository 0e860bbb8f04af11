"""What changed targets in a stretch of the log, and what proves that nothing is missing from the stretch."""

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from audit.event import FIRST_PREVIOUS
from audit.event import hash_of
from audit.query import Query
from audit.view import View

ENDED = ("succeeded", "partially_applied", "interrupted")
"""How runs end of which something is, or may be, on the target. Of one that `failed` nothing is."""
OUTSIDE = "changed_outside"

_RUNS = """
SELECT ended.seq, ended.at, ended.kind, ended.project, ended.environment, ended.request, asked.actor AS asked_by,
       asked.seq AS asked_seq
FROM event AS ended LEFT JOIN event AS asked ON asked.request = ended.request AND asked.kind = 'requested'
WHERE ended.kind = :kind AND ended.seq > :low AND ended.seq < :high AND ended.stream = 'request:' || ended.request
ORDER BY ended.seq
"""
_NOTICED = """
SELECT seq, at, kind, project, environment, request, NULL AS asked_by, NULL AS asked_seq
FROM event WHERE kind = 'changed_outside' AND seq > :low AND seq < :high ORDER BY seq
"""
_YESES = "SELECT request, actor FROM event WHERE kind = :kind AND seq > :low AND seq < :high ORDER BY seq"
_CARRIED = """
SELECT request, coalesce(json_extract(data, '$.approver'), actor) FROM event LEFT JOIN payload USING (seq)
WHERE kind = 'approval_carried' AND seq > :low AND seq < :high ORDER BY seq
"""
_ENDED_SO = """
SELECT count(*) FROM event
WHERE kind = :kind AND seq > :low AND seq < :high AND stream = 'request:' || request
"""


class Change(NamedTuple):
    """A run of which something is or may be on its target, or a change that was noticed and not made by us (`request` and
    `asked_by` are None then). `seq` and `at` are of the event that says so. `allowed_by` are actors."""

    seq: int
    at: str
    kind: str
    target: str
    request: str | None
    asked_by: str | None
    allowed_by: tuple[str, ...]
    is_emergency: bool


@dataclass(frozen=True)
class Whole:
    """What is known of a stretch: its events, and what proves that they are all.

    `missing` events are not there though their number is between others (0 proves that none is). The checkpoints are the
    last that was signed before the stretch, as its size and root, and the first that covers all of it; None where there
    is none. `broken` is the first event whose hash or link is wrong, `is_read` whether that was looked at.
    """

    first: int
    last: int
    missing: int
    before: tuple[int, str] | None
    after: tuple[int, str] | None
    is_read: bool
    broken: int | None


def changes(view: View, low: int, high: int, *, counts: Callable[[str], bool] = lambda _target: True) -> list[Change]:
    """All changes between two numbers (both exclusive) of the targets that count, in order."""
    rows = [row for kind in ENDED for row in view.select(_RUNS, kind=kind, low=low, high=high)]
    since = min((row[7] for row in rows if row[7]), default=high) - 1
    rows += view.select(_NOTICED, low=low, high=high)
    allowed: dict[str, list[str]] = {}
    overridden = view.select(_YESES, kind="overridden", low=since, high=high)
    yeses = view.select(_YESES, kind="approved", low=since, high=high), view.select(_CARRIED, low=since, high=high)
    for request, actor in (*yeses[0], *yeses[1], *overridden):
        given = allowed.setdefault(request, [])
        if actor not in given:
            given.append(actor)
    emergencies = {request for request, _ in overridden}
    counted: dict[tuple[str, str], str] = {}
    found: list[Change] = []
    for seq, at, kind, project, environment, request, asked_by, _ in rows:
        target = counted.get((project, environment))
        if target is None:
            name = f"{project}/{environment}"
            target = counted[project, environment] = name if counts(name) else ""
        if target:
            yes = tuple(allowed.get(request, ()))
            found.append(Change(seq, at, kind, target, request, asked_by, yes, request in emergencies))
    found.sort()
    return found


def failed_runs(view: View, low: int, high: int) -> int:
    """How many runs between two numbers ended without anything of them on their targets."""
    return int(view.select(_ENDED_SO, kind="failed", low=low, high=high)[0][0])


def digests(view: View, requests: list[str]) -> dict[str, str]:
    """What people approved, of each of these requests: the plan's digest."""
    sql = (
        "SELECT request, json_extract(data, '$.digest') AS digest FROM event JOIN payload USING (seq)"
        " WHERE request = :request AND kind = 'requested'"
    )
    return {found: str(digest or "") for request in requests for found, digest in view.select(sql, request=request)}


def whole(view: View, low: int, high: int, *, reads: bool) -> Whole:
    """What proves that no event is missing between two numbers (both exclusive). `reads`: every hash and link of them is
    computed again, which takes a second for some 150,000 events."""
    base = view.base().seq
    there = view.select("SELECT count(*) FROM event")[0][0]
    carried = view.select("SELECT count(*) FROM event WHERE seq <= :base", base=base)[0][0] if base else 0
    begins = max(low, base)
    signed = "checkpoint_signed"
    before = view.find(Query(kinds=(signed,), before_seq=begins + 1, newest_first=True, limit=1))
    after = view.find(Query(kinds=(signed,), after_seq=high - 1, limit=1))
    return Whole(
        first=begins + 1,
        last=high - 1,
        missing=view.size() - base - (there - carried),
        before=next(((event.data["size"], event.data["root"]) for event in before if event.data), None),
        after=next(
            (
                (event.data["size"], event.data["root"])
                for event in after
                if event.data and event.data["size"] >= high - 1
            ),
            None,
        ),
        is_read=reads,
        broken=next(_broken(view, begins, high), None) if reads else None,
    )


def _broken(view: View, low: int, high: int) -> Iterator[int]:
    """The events of which hash or link is not what it has to be."""
    log_id, base = view.log_id(), view.base()
    known = view.rows_at([low])
    previous = known[0]["hash"] if known else (base.hash if low == base.seq else FIRST_PREVIOUS)
    for row in view.rows(Query(after_seq=low, before_seq=high)):
        if row["previous"] != previous or hash_of(log_id, row) != row["hash"]:
            yield row["seq"]
        previous = row["hash"]
