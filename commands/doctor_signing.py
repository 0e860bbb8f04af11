"""What `doctor` says about the signing of the log: the key, the places for checkpoints, and how old the newest one is."""

import os
from collections.abc import Iterator
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Literal

from audit import Event
from audit import Query
from audit import Reader
from commands.page_words import plural
from commands.watch_parts import span_text
from ops.checkpoints import OWN_KINDS
from ops.checkpoints import check_log_is_ours
from ops.checkpoints import first_unsigned
from ops.checkpoints import signing_keys
from ops.errors import OpsError
from ops.settings import Settings

State = Literal["ok", "warning", "problem"]

MOST_LATE = 3
"""So many intervals may pass between a change and the next checkpoint before that is told."""
NOT_SIGNED_FOR = OWN_KINDS | {"bot_stopped"}
"""What comes behind a checkpoint and calls for none: what became of it, and the end of a bot that signed as it stopped."""
MOST_LOOKED_AT = 5000
"""So many of the newest answers of places are looked through for when one of them failed first."""


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
    overdue = _overdue(settings, view, last, now)
    if last is None:
        none = "no checkpoint was signed yet; the bot does it by itself, `countersign audit checkpoint` at once"
        yield "warning", none + overdue
        return
    size = int((last.data or {}).get("size", 0))
    newest = f"the newest checkpoint is of {plural(size, 'event')}, {_said(last.at)}"
    yield "warning" if overdue else "ok", newest + overdue
    yield from _failing(view, last)


def _overdue(settings: Settings, view: Reader, last: Event | None, now: datetime) -> str:
    """What was written down so long ago that it should be signed by now, and what to do; empty where there is nothing."""
    after, every = last.seq if last else view.base().seq, settings.audit.checkpoint_every
    first = first_unsigned(view, after, NOT_SIGNED_FOR)
    if first is None or now - first.at <= MOST_LATE * every:
        return ""
    own = view.find(Query(kinds=tuple(NOT_SIGNED_FOR), after_seq=after))
    unsigned = plural(view.size() - after - len(own), "event")
    return (
        f". The next one is overdue since {_said(first.at + every)}: {unsigned} from {_said(first.at)} on are not signed"
        f" (`checkpoint_every` is {span_text(every.total_seconds())}). The bot signs while it runs: start it, or see in what"
        " it logs why it cannot (`checkpoint_not_made`); where no bot runs, `countersign audit checkpoint` signs at once"
    )


def _failing(view: Reader, last: Event) -> Iterator[tuple[State, str]]:
    """The places where the newest checkpoint is not, and since when nothing arrived there."""
    for failed in view.find(Query(kinds=("checkpoint_unpublished",), after_seq=last.seq)):
        data = failed.data or {}
        in_a_row = list(takewhile(lambda one: one.kind != "checkpoint_published", _of_place(view, data.get("where"))))
        yield (
            "warning",
            f"it is not at {data.get('where')}: {data.get('because')} Nothing arrived there since"
            f" {_said(in_a_row[-1].at)} ({plural(len(in_a_row), 'checkpoint')}). Mend that place: the next that arrives"
            " covers all of them",
        )


def _of_place(view: Reader, where: object) -> Iterator[Event]:
    """What came of putting checkpoints there, newest first."""
    kinds = ("checkpoint_published", "checkpoint_unpublished")
    query = Query(kinds=kinds, newest_first=True, limit=MOST_LOOKED_AT)
    return (one for one in view.find(query) if (one.data or {}).get("where") == where)


def _said(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
