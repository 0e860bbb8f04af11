"""Checkpoints of the log: signed, written down, then put where the log's owner cannot rewrite them.

The order is that of every act: the signature is remembered beside the key, the event holds the note, only then it is
published, and what came of that is an event again. A place that cannot be reached loses nothing: each checkpoint covers all
that the ones before it did.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from pathlib import Path

from audit import AuditError
from audit import BadKey
from audit import Draft
from audit import Event
from audit import Query
from audit import Reader
from audit import Signer
from audit import SigningKey
from audit import VerifyKey
from audit import View
from audit import read_key
from audit.anchors import anchors_in
from audit.checkpoint import Checkpoint
from audit.checkpoint import origin_of
from ops.anchors import publishers_of
from ops.anchors.place import Publisher
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.settings import Settings

logger = logging.getLogger("countersign.checkpoints")

NOTARY = Actor("system:notary")
OWN_KINDS = frozenset({"checkpoint_signed", "checkpoint_published", "checkpoint_unpublished"})
IDLE_EVERY = timedelta(days=1)
"""So often a log in which nothing happened is signed: that nothing did can be shown then."""

FOR_EVIDENCE = "evidence"
"""Why a checkpoint was signed that evidence needed at once. The next one comes when it would have come without it."""
EVIDENCE_BETWEEN = 32
"""So many of those in a row, and the interval counts as over."""


@dataclass(frozen=True)
class Made:
    """A checkpoint that was signed and written down: how many events it covers, its root (hex), what came of publishing it
    (place, then `ref`), and where it could not be put (place, then why)."""

    size: int
    root: str
    note: str
    published: dict[str, str]
    unpublished: dict[str, str]


def memory_of(key: Path) -> Path:
    """Where the signer keeps what it signed last: beside the key, not beside the log."""
    return key.with_name(f"{key.name}.signed")


def previous_key_of(key: Path) -> Path:
    """Where the key lies that this one takes the place of, while both sign."""
    return key.with_name(f"{key.name}.previous")


def signing_keys(settings: Settings) -> Sequence[SigningKey]:
    """The configured key, then the one before it while both sign; none where no key is configured. Raises OpsError."""
    if settings.audit.key is None:
        return ()
    path = settings.path(settings.audit.key)
    try:
        found = [read_key(path)]
        previous = previous_key_of(path)
        return [*found, read_key(previous)] if previous.exists() else found
    except BadKey as error:
        raise OpsError(Reason.BAD_CONFIG, error.message, error.hint) from error


def known_keys(settings: Settings, view: View) -> Sequence[VerifyKey]:
    """Every key whose signature counts: those at hand, and those that the log says were made and since retired.

    The log alone proves no key: whoever verifies should give the keys that they know from elsewhere.
    """
    at_hand = [key.verify_key for key in signing_keys(settings)]
    said = [VerifyKey.from_text(str((one.data or {}).get("key", ""))) for one in view.find(Query(kinds=("key_made",)))]
    return list(dict.fromkeys([*at_hand, *said]))


def kept_elsewhere(settings: Settings, log_id: str, view: View) -> Checkpoint | None:
    """The largest checkpoint of this log in the configured files, or in the log itself; None: it was never signed, as far as
    can be seen from here. A file that is there and cannot be read is told as OpsError."""
    texts = [("the log", str((one.data or {}).get("note", ""))) for one in view.find(_NEWEST_SIGNED)]
    for place in settings.audit.anchors:
        path = settings.path(place.file) if place.file else None
        if path is not None and path.exists():
            try:
                texts.append((str(path), path.read_text(errors="replace")))
            except OSError as error:
                message = f"What was signed last is not remembered, and {path} cannot be read: {error.strerror}."
                raise OpsError(Reason.LOG_REPLACED, message, "Let the bot read that file.", exit_code=2) from error
    found = anchors_in(texts, origin_of(log_id), known_keys(settings, view)).largest
    return None if found is None else found.checkpoint


_NEWEST_SIGNED = Query(kinds=("checkpoint_signed",), newest_first=True, limit=1)


def check_log_is_ours(settings: Settings, log_id: str, path: Path) -> None:
    """Raise OpsError when the log is not the one that was signed last, grown: then nothing may be added to it.

    Nothing is checked where no key is configured.
    """
    if settings.audit.key is None:
        return
    key = settings.path(settings.audit.key)
    view = Reader(path)
    try:
        Signer(log_id, (), memory_of(key), lambda: kept_elsewhere(settings, log_id, view)).check(view)
    except AuditError as error:
        raise OpsError(Reason.LOG_REPLACED, error.message, error.hint, exit_code=2) from error


def first_unsigned(view: View, after: int, besides: frozenset[str] = OWN_KINDS) -> Event | None:
    """The first event behind this one that is of none of the kinds `besides`; None: nothing but those was written down."""
    while found := view.since(after, 64):
        for one in found:
            if one.kind not in besides:
                return one
        after = found[-1].seq
    return None


class Notary:
    """Makes checkpoints of one log. One at a time in a process, from any thread: the signer's memory is one file."""

    _turn = threading.Lock()

    def __init__(self, ops: Ops, more: Sequence[Publisher] = ()) -> None:
        """`more`: places beside the configured files, URLs and repositories, such as the bot's Slack channel."""
        self._ops = ops
        signing_keys(ops.settings)  # one that cannot be used is told at once
        self._publishers = [*publishers_of(ops.settings), *more]

    @property
    def is_set_up(self) -> bool:
        return self._ops.settings.audit.key is not None

    def due(self) -> str:
        """Why a checkpoint is due now by the clock; empty: none is."""
        view = self._ops.view
        newest = view.find(Query(kinds=("checkpoint_signed",), limit=EVIDENCE_BETWEEN, newest_first=True))
        last = next((one for one in newest if (one.data or {}).get("because") != FOR_EVIDENCE), None)
        if last is None:
            return "interval"
        waited = self._ops.now() - last.at
        if waited < self._ops.settings.audit.checkpoint_every:
            return ""
        return "interval" if waited >= IDLE_EVERY or first_unsigned(view, last.seq) is not None else ""

    def make(self, because: str) -> Made | None:
        """Sign what the log holds now; None for an empty log. Raises OpsError, AuditError: then nothing was signed."""
        with self._turn:
            if self._ops.settings.audit.key is None:
                raise OpsError(
                    Reason.BAD_CONFIG,
                    "No key is configured, so nothing is signed.",
                    'Add [audit] key = "var/audit.key", then make it with `countersign audit key`.',
                )
            keys = signing_keys(self._ops.settings)  # each time, for they may be changed while the bot runs
            memory = memory_of(self._ops.settings.path(self._ops.settings.audit.key))
            log_id, view = self._ops.log.log_id, self._ops.view
            signer = Signer(log_id, keys, memory, lambda: kept_elsewhere(self._ops.settings, log_id, view))
            signed = signer.sign(self._ops.view)
            if signed is None:
                return None
            size, root = signed.checkpoint.size, signed.checkpoint.root.hex()
            self._record("checkpoint_signed", {"size": size, "root": root, "note": signed.note, "because": because})
            made = Made(size, root, signed.note, {}, {})
            for publisher in self._publishers:
                self._publish(publisher, made, self._ops.now())
            return made

    def _publish(self, publisher: Publisher, made: Made, now: datetime) -> None:
        try:
            ref = publisher.publish(made.note, made.size, now.isoformat(timespec="seconds").replace("+00:00", "Z"))
        except OpsError as error:
            made.unpublished[publisher.where] = error.message
            logger.warning("checkpoint_unpublished where=%s error=%s", publisher.where, error.message)
            data = {"size": made.size, "where": publisher.where, "because": error.message}
            self._record("checkpoint_unpublished", data)
        else:
            made.published[publisher.where] = ref
            self._record("checkpoint_published", {"size": made.size, "where": publisher.where, "ref": ref})

    def _record(self, kind: str, data: dict[str, object]) -> None:
        self._ops.log.append([Draft(kind=kind, actor=NOTARY.id, stream="bot", data=data)])
