"""What `doctor` says about the signing of the log: the key, the places for checkpoints, and how old the newest one is."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from audit import Event
from audit import Query
from audit import Reader
from commands.page_words import plural
from ops.checkpoints import check_log_is_ours
from ops.checkpoints import signing_keys
from ops.errors import OpsError
from ops.settings import Settings

State = Literal["ok", "warning", "problem"]

MOST_LATE = 3
"""So many intervals may pass between a change and the next checkpoint before that is told."""


def signing(settings: Settings, now: datetime) -> Iterator[tuple[State, str]]:
    """Each thing that was looked at, and what was found. Reads the log, where there is one, and changes nothing."""
    if settings.audit.key is None:
        words = "nothing signs the log, so who has its file could compute it anew unseen: docs/audit-log.md says what to set"
        yield "warning", words
        return
    try:
        keys = signing_keys(settings)
    except OpsError as error:
        yield "problem", f"{error.message} {error.hint}"
        return
    yield "ok", f"signed by {' and '.join(key.verify_key.name for key in keys)}"
    yield from _places(settings)
    if settings.log_path.exists():
        view = Reader(settings.log_path)
        try:
            check_log_is_ours(settings, view.log_id(), settings.log_path)
        except OpsError as error:
            yield "problem", f"{error.message} {error.hint}"
            return
        yield from _newest(settings, view, now)


def _places(settings: Settings) -> Iterator[tuple[State, str]]:
    if not settings.audit.anchors:
        yield "warning", "checkpoints are put nowhere else, so they prove nothing to others: add [[audit.anchors]]"
    for place in settings.audit.anchors:
        path = settings.path(place.file) if place.file else None
        if path is None:
            continue
        if not path.parent.is_dir():
            yield "problem", f"the folder of {path} is not there"
        elif _is_on_one_disk(path, settings.log_path):
            yield "warning", f"{path} is on the same disk as the log: whoever can change the one can change the other"


def _is_on_one_disk(path: Path, log: Path) -> bool:
    try:
        return os.stat(path.parent).st_dev == os.stat(log.parent).st_dev
    except OSError:
        return False


def _newest(settings: Settings, view: Reader, now: datetime) -> Iterator[tuple[State, str]]:
    last = view.last(kind="checkpoint_signed")
    if last is None:
        yield (
            "warning",
            "no checkpoint was signed yet; the bot does it by itself, `countersign audit checkpoint` at once",
        )
        return
    size = int((last.data or {}).get("size", 0))
    late = now - last.at > MOST_LATE * settings.audit.checkpoint_every and view.size() > last.seq + 2
    yield (
        "warning" if late else "ok",
        f"the newest checkpoint is of {plural(size, 'event')}, {last.at:%Y-%m-%d %H:%M} UTC",
    )
    for failed in _unpublished(view, last):
        data = failed.data or {}
        yield "warning", f"it is not at {data.get('where')}: {data.get('because')}"


def _unpublished(view: Reader, last: Event) -> list[Event]:
    return view.find(Query(kinds=("checkpoint_unpublished",), after_seq=last.seq))
