"""The backups that the log knows of: which there are, whose they are, and which are too old to be kept."""

import json
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from audit import AuditError
from audit import Draft
from audit import Event
from audit import Query
from audit import View
from ops.backup_files import bytes_of
from ops.backup_files import remove
from ops.backup_files import remove_leftovers
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.requests import find_request
from ops.requests import open_requests
from ops.targets import Target
from ops.targets import all_targets

logger = logging.getLogger("countersign.backups")

ID_LETTERS = 12
_ID = re.compile(r"[0-9a-f]{6,64}")
_TRIED = ("restored", "identical")
"""As `ops.backup.TRIED`, whose tools a reader of the log goes without."""
_REMOVER = Actor("system:backups")


@dataclass(frozen=True)
class Backup:
    """A proven backup as the log has it. `request` is the one whose run took it, None where a person did by `backup`."""

    project: str
    environment: str
    request: str | None
    by: Actor
    proven_at: datetime
    proof: Mapping[str, Any]
    is_removed: bool

    @property
    def id(self) -> str:
        """What people call it by: the first letters of its SHA-256."""
        return self.sha256[:ID_LETTERS]

    @property
    def sha256(self) -> str:
        return str(self.proof["sha256"])

    @property
    def target(self) -> str:
        return f"{self.project}/{self.environment}"

    @property
    def level(self) -> str:
        return str(self.proof["level"])

    @property
    def taken_at(self) -> datetime:
        """The moment of its snapshot."""
        return datetime.fromisoformat(str(self.proof["taken_at"]))

    @property
    def path(self) -> Path:
        return Path(str(self.proof["path"]))

    @property
    def sealed_for(self) -> tuple[str, ...]:
        return tuple(self.proof.get("sealed_for") or ())

    @property
    def is_there(self) -> bool:
        """Whether its place has something of its size. Says nothing of what is in it."""
        return not self.is_removed and bytes_of(self.path) == self.proof["bytes"]


def last_backup(view: View, project: str, environment: str) -> tuple[datetime, Mapping[str, Any]] | None:
    """When the newest proven backup of a target was proven, and its proof; None when the log knows of none."""
    event = view.last(kind="backup_proven", project=project, environment=environment)
    return (event.at, event.data["proof"]) if event is not None and event.data else None


def all_backups(view: View, project: str | None = None, environment: str | None = None) -> list[Backup]:
    """Every proven backup of a target, or of all, newest first; those that were removed, too."""
    query = Query(project=project, environment=environment, kinds=("backup_proven",), newest_first=True)
    events = view.find(query)
    removed = _removed(view) if events else frozenset()
    return [_backup(event, removed) for event in events if event.data]


def find_backup(view: View, text: str) -> Backup:
    """The backup that `R-7` took, or whose SHA-256 begins so. Raises OpsError: UNKNOWN_BACKUP, UNKNOWN_REQUEST."""
    wanted = text.strip().lower()
    if re.fullmatch(r"r-\d+", wanted):
        request = find_request(view, wanted)
        query = Query(request=request.id, kinds=("backup_proven",), newest_first=True, limit=1)
        found = [_backup(event, _removed(view)) for event in view.find(query) if event.data]
        missing = f"{request.id} took no backup."
    elif _ID.fullmatch(wanted):
        found = [one for one in all_backups(view) if one.sha256.startswith(wanted)]
        missing = f"There is no backup {wanted[:ID_LETTERS]}."
    elif "«masked" in text:
        found, missing = [], "What reads like a one-time code is not kept: say ten letters of the backup, or more."
    else:
        found, missing = [], f"{text[:40]!r} is no backup."
    if len({one.sha256 for one in found}) > 1:
        missing = f"Several backups begin with {wanted}."
        found = []
    if not found:
        hint = "`backups` lists them; say a request's number, or a backup's first letters."
        raise OpsError(Reason.UNKNOWN_BACKUP, missing, hint)
    return found[0]


def remove_old_backups(ops: Ops) -> list[Backup]:
    """Remove what is older than `keep` says, of every target; what was removed. Nothing where nothing is to be removed.

    Whatever their age, a target's newest backup stays, the newest that is there, the newest of these that was restored for
    its proof, and what an open request names. Written down first; what cannot be removed then is tried again by the
    next call.
    """
    keep = ops.settings.backup.keep
    if keep is None:
        return []
    named = json.dumps([dict(request.plan) for request in open_requests(ops.view)], default=str)
    folder = ops.settings.path(ops.settings.backup.path).resolve()
    gone = []
    for target in all_targets(ops.settings):
        backups = all_backups(ops.view, target.project, target.environment)
        there = [one for one in backups if one.is_there]
        tried = [one for one in there if one.level in _TRIED]
        kept = (*backups[:1], *there[:1], *tried[:1])
        for backup in backups:
            is_old = backup.taken_at + keep < ops.now()
            # Only what is ours: the log may tell of another folder, of another configuration's time.
            if not is_old or backup in kept or backup.sha256 in named or backup.path.parent != folder:
                continue
            if not backup.is_removed:
                ops.log.append([_removal(target, backup, f"older than keep = {_days(keep.total_seconds())}")])
                gone.append(backup)
            elif not backup.path.exists():
                continue
            with suppress(OSError):
                remove(backup.path)
    return gone


def tidy_up(ops: Ops) -> None:
    """The same, and what killed processes left of backups that never came to be. Errors are for the operator alone: this
    must not be in the way of what just ended."""
    try:
        remove_leftovers(ops.settings.path(ops.settings.backup.path))
        remove_old_backups(ops)
    except (AuditError, OpsError, OSError):
        logger.exception("old_backups_not_removed")


def _removed(view: View) -> frozenset[str]:
    events = view.find(Query(kinds=("backup_removed",)))
    return frozenset(str(event.data["sha256"]) for event in events if event.data)


def _backup(event: Event, removed: frozenset[str]) -> Backup:
    proof: Mapping[str, Any] = (event.data or {})["proof"]
    return Backup(
        project=event.project or "",
        environment=event.environment or "",
        request=event.request,
        by=Actor(event.actor),
        proven_at=event.at,
        proof=proof,
        is_removed=str(proof["sha256"]) in removed,
    )


def _removal(target: Target, backup: Backup, because: str) -> Draft:
    return Draft(
        kind="backup_removed",
        actor=_REMOVER.id,
        stream=target.stream,
        data={"sha256": backup.sha256, "path": str(backup.path), "because": because},
        project=target.project,
        environment=target.environment,
    )


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.0f}d" if seconds >= 86400 else f"{seconds:.0f}s"
