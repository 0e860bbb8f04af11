"""What the log keeps of batches, and where a file that was begun stands: in whichever request, on this very target."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from audit import Event
from audit import Query
from audit import View

BATCH_SENT = "batch_sent"
_ENDS = ("migration_applied", "migration_undone", "script_run", "history_repaired")
"""What says of a version that its file is whole, or gone: the next one begins with the first row."""
_DID = ("succeeded", "partially_applied", "interrupted", *_ENDS)
"""What says of a request that it did something to the target, or may have."""


@dataclass(frozen=True)
class Place:
    """A place in the order of a table's key: behind the row whose key has these values (texts), or this keyed hash where
    the log may not hold them; `secret` then says which one it was made with. Neither: before the first row."""

    key: tuple[str, ...] | None = None
    hmac: str | None = None
    secret: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "key": None if self.key is None else list(self.key)}


def _place_from(found: Mapping[str, Any]) -> Place:
    return Place(None if found["key"] is None else tuple(found["key"]), found["hmac"], found["secret"])


@dataclass(frozen=True)
class BatchIntent:
    """COMMIT of this batch is sent next; `xid` is its transaction.

    `number` counts from 1 over all attempts. `sha256` is of the statement's text, `table` tells one table of one database
    of one server from all others. `rows`: those that were written; `total`: those of all batches up to here. `seen`: the
    rows of the table that were gone through so far. `is_last`: there are no rows behind it.
    """

    version: str
    number: int
    sha256: str
    table: str
    xid: str
    backend_pid: int
    backend_start: str
    rows: int
    total: int
    seen: int
    after: Place
    through: Place
    is_last: bool

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "after": self.after.to_json(), "through": self.through.to_json()}


def batch_from(data: Mapping[str, Any]) -> BatchIntent:
    """A batch as the log keeps it."""
    return BatchIntent(**{**data, "after": _place_from(data["after"]), "through": _place_from(data["through"])})


@dataclass(frozen=True)
class Begun:
    """The newest batch of a file that was begun and is not whole. `committed` None: the server has to be asked.

    `undone_by`: a request that was carried out on the target since, and may have taken the batches back.
    """

    batch: BatchIntent
    request: str
    committed: bool | None
    undone_by: str | None = None


def begun(view: View, *, project: str, environment: str, version: str) -> Begun | None:
    """Where the file of this version stands on a target; None where no batch of it may be there."""
    about = Query(project=project, environment=environment)
    newest = replace(about, kinds=(BATCH_SENT,), text=version, newest_first=True)
    event = next((one for one in view.find(newest) if _is_of(one, version)), None)
    if event is None or not event.data:
        return None
    since = replace(about, after_seq=event.seq)
    if any(_is_of(one, version) for kind in _ENDS for one in view.find(replace(since, kinds=(kind,)))):
        return None
    batch = batch_from(event.data)
    return Begun(batch, event.request or "", _committed(view, event, batch), _undone_by(view, since, event))


def batches_told(data: Mapping[str, Any], sent: int) -> bool | None:
    """Whether the batch of this number is committed, by the `statement_finished` behind it; None: that does not say."""
    return None if data["outcome"] == "unknown" else int(data.get("batches", 0)) >= sent


def _is_of(event: Event, version: str) -> bool:
    return bool(event.data) and event.data is not None and event.data["version"] == version


def _committed(view: View, sent: Event, batch: BatchIntent) -> bool | None:
    for event in view.events(stream=sent.stream):
        if event.seq > sent.seq and event.kind == "statement_finished" and _is_of(event, batch.version):
            told = batches_told(event.data or {}, batch.number)
            if told is not None:
                return told
    return None


def _undone_by(view: View, since: Query, sent: Event) -> str | None:
    """A request of another kind that did something since, however it ended, and is about the batch's own or its file, or
    restores the target."""
    others = {one.request for one in view.find(replace(since, kinds=_DID)) if one.request} - {sent.request}
    for request in sorted(others):
        asked = view.events(stream=f"request:{request}")[0].data or {}
        files = {file["version"] for file in asked["plan"]["files"]}
        is_about = asked["plan"].get("of") == sent.request or (sent.data or {})["version"] in files
        if asked["kind"] == "restore" or (asked["kind"] == "rollback" and is_about):
            return request
    return None
