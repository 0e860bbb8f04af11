"""What the log holds about one request, with what proves it to somebody who has neither the log nor Countersign.

Of a request that is over it is the same at any later time, as long as nobody does anything to that request: the first
checkpoint that covers it stays the first.
"""

import hashlib
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from datetime import datetime
from typing import Any

from audit import Checkpoint
from audit import Event
from audit import NotProvable
from audit import Query
from audit import Roots
from audit import VerifyKey
from audit import View
from audit import inclusion_paths
from audit import open_note
from audit import origin_of
from audit import sign
from audit.event import canonical
from ops.checkpoints import FOR_EVIDENCE
from ops.checkpoints import Notary
from ops.checkpoints import known_keys
from ops.checkpoints import signing_keys
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.requests import Request
from ops.requests import find_request
from ops.requests import fold

MANIFEST_ORIGIN = "countersign.evidence/"
"""What the list of an evidence's files is signed as: never as a checkpoint of a log."""

_IN_THE_WAY = ("locked", "unlocked", "changed_outside", "state_noted", "adopted")
_EVERYWHERE = ("frozen", "unfrozen")
_SIGNED_SOON = 16
"""A checkpoint that covers a request stands at most so many behind the first that came after it."""


@dataclass(frozen=True)
class Evidence:
    """A request and its events as of the first `size` events of the log, whose tree has `root`.

    `rows` are the events with their salts; `paths` lead from each, by number, to the root. `note` is the checkpoint with
    its signatures, none of them where the log has no key (`keys` is empty then). `anchors`: where the checkpoint lies
    elsewhere, place and what finds it there. `at` is the moment of the last of those events.
    """

    request: Request
    events: Sequence[Event]
    rows: Sequence[Mapping[str, Any]]
    paths: Mapping[int, Sequence[bytes]]
    log_id: str
    size: int
    root: bytes
    note: str
    keys: Sequence[VerifyKey]
    anchors: Sequence[tuple[str, str]]
    at: datetime

    @property
    def plan(self) -> bytes:
        """The canonical plan, whose SHA-256 is the digest that people said yes to."""
        return canonical(self.request.plan)

    def of(self, *kinds: str) -> list[Event]:
        """The events of these kinds, in order."""
        return [event for event in self.events if event.kind in kinds]

    def of_request(self, *kinds: str) -> list[Event]:
        """The same, of the request's own stream."""
        return [event for event in self.of(*kinds) if event.stream == self.request.stream]


def evidence_of(ops: Ops, request: str) -> Evidence:
    """Gather it; where no checkpoint covers it yet, one is signed. Raises OpsError, AuditError."""
    view = ops.view
    found = find_request(view, request)
    needed = max(event.seq for event in _events_about(view, found, view.size()))
    mark = _checkpoint(ops, needed, may_be_older=found.is_over)
    size = mark.checkpoint.size
    events = _events_about(view, found, size)
    try:
        roots = Roots(view, size)
        paths = inclusion_paths(roots, [event.seq for event in events])
        root = roots(0, size)
    except NotProvable as error:
        message = f"{error.message} So nothing shows that the events of {found.id} are in it."
        raise OpsError(Reason.LOG_DAMAGED, message, "Take the evidence from the archive that has them.") from error
    if root != mark.checkpoint.root:
        raise OpsError(
            Reason.LOG_DAMAGED,
            f"The log is not the one whose first {size} events were signed.",
            "See what differs with `audit verify --anchors`.",
        )
    return Evidence(
        request=fold([event for event in events if event.stream == found.stream]),
        events=events,
        rows=view.salted([event.seq for event in events]),
        paths=paths,
        log_id=ops.log.log_id,
        size=size,
        root=root,
        note=mark.note,
        keys=mark.keys,
        anchors=_anchors(view, size),
        at=view.since(size - 1, 1)[0].at,
    )


def signed_manifest(ops: Ops, evidence: Evidence, manifest: bytes) -> str:
    """A note that says which files were given out: the SHA-256 of their list, by the keys of the log; empty without one."""
    keys = signing_keys(ops.settings)
    if not keys:
        return ""
    origin = f"{MANIFEST_ORIGIN}{evidence.log_id}/{evidence.request.id}"
    return sign(Checkpoint(origin, evidence.size, hashlib.sha256(manifest).digest()), keys)


@dataclass(frozen=True)
class _Mark:
    checkpoint: Checkpoint
    note: str
    keys: Sequence[VerifyKey]


def _checkpoint(ops: Ops, needed: int, *, may_be_older: bool) -> _Mark:
    """The checkpoint that the proofs lead to: an older one that covers so many events, else a new one. Without a key none
    is signed, and the tree ends with the last event that is needed."""
    view = ops.view
    if ops.settings.audit.key is None:
        size = needed if may_be_older else view.size()
        checkpoint = Checkpoint(origin_of(ops.log.log_id), size, Roots(view, size)(0, size))
        return _Mark(checkpoint, f"{checkpoint.text()}\n", ())
    keys = known_keys(ops.settings, view)
    if may_be_older:
        query = Query(kinds=("checkpoint_signed",), after_seq=needed, limit=_SIGNED_SOON)
        for event in view.find(query):
            if event.data is not None and event.data["size"] >= needed:
                return _opened(str(event.data["note"]), keys)
    made = Notary(ops).make(FOR_EVIDENCE)
    assert made is not None  # noqa: S101 (an empty log has no request)
    return _opened(made.note, known_keys(ops.settings, view))


def _opened(note: str, keys: Sequence[VerifyKey]) -> _Mark:
    checkpoint, by = open_note(note, keys)
    return _Mark(checkpoint, note, by)


def _anchors(view: View, size: int) -> list[tuple[str, str]]:
    """Where a checkpoint that covers so many events is known to lie: of each place the first."""
    found: dict[str, str] = {}
    for event in view.find(Query(kinds=("checkpoint_published",), after_seq=size, limit=4 * _SIGNED_SOON)):
        if event.data is not None and event.data["size"] == size:
            found.setdefault(str(event.data["where"]), str(event.data["ref"]))
    return list(found.items())


def _events_about(view: View, request: Request, size: int) -> list[Event]:
    """Everything that the first `size` events say about a request, in order: its own, what people typed and clicked for it
    and were answered, its rehearsal, the policy then in force, and what stood in its target's way meanwhile."""
    with view.together() as seen:
        own = [event for event in seen.events(stream=request.stream) if event.seq <= size]
        found = {event.seq: event for event in own}
        found |= {event.seq: event for event in seen.find(Query(request=request.id, before_seq=size + 1))}
        acts = {act for event in found.values() for act in _acts_behind(event)}
        asked = [event for act in sorted(acts) for event in seen.act(act)]
        first, last = own[0].seq, own[-1].seq
        during = Query(after_seq=first, before_seq=min(last, size) + 1)
        there = replace(during, project=request.project, environment=request.environment)
        asked += seen.find(Query(kinds=("configured",), before_seq=first, newest_first=True, limit=1))
        asked += seen.find(replace(during, kinds=("configured",)))
        asked += seen.find(replace(there, kinds=_IN_THE_WAY))
        asked += [one for one in seen.find(replace(during, kinds=_EVERYWHERE)) if _is_about(one, request)]
        found |= {event.seq: event for event in asked if event.seq <= size}
    return [found[seq] for seq in sorted(found)]


def _acts_behind(event: Event) -> list[str]:
    """The ids of the acts that an event is an answer to, or was done in; an act's parts have its id and a colon before
    theirs."""
    data = event.data or {}
    named = [str(data["to"])] if event.kind in {"answered", "refused"} and data.get("to") else []
    before = event.id.split("/")[0].rpartition(":")[0]
    kept = (event.request and event.kind == "requested" and (data.get("rehearsal") or {}).get("event")) or ""
    return [*named, *([before] if before else []), *([str(kept)] if kept else [])]


def _is_about(event: Event, request: Request) -> bool:
    """Whether a freeze holds for the request's target too."""
    return event.environment is None or (event.project, event.environment) == (request.project, request.environment)
