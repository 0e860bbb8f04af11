"""The door: a unix socket beside the log, through which other processes of this host speak to the one that may write.

The system proves who is at the other end (SO_PEERCRED), so a line that comes through the door is said by
`os:<host>/<login>` and by nobody else. One JSON object per line: `{"hello", "format"}` out, `{"words", "behind"}` in (with
`value` the value of a secret, which is kept for this act alone),
then any number of `{"progress", "step", "share"}`, and one `{"reply", "page", "exit_code", "ok", "request"}` out. A guest who
reads the file by themselves says `{"note": {"kind", "data"}}`, and shows nothing before `{"noted": true}`; of those whom they
did not let in they say how many tries came from where, and the sentence is made here. The act's id is
made here: a guest who could choose it could say something under the id of what was said before.
"""

import base64
import contextlib
import json
import logging
import shlex
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from audit import AuditError
from audit import Draft
from commands.behind import LENGTH
from commands.behind import MOST
from commands.dispatch import is_heavy
from commands.dispatch import say
from commands.knock import HELLO_SECONDS
from commands.knock import LINE_BYTES
from commands.knock import reply_json
from commands.knock import short_path
from commands.knock import socket_path
from commands.page_json import FORMAT
from commands.reply import Reply
from commands.reply import error_reply
from commands.words import Front
from commands.words import forgive
from ops.auditors import not_let_in
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import terminal_actor
from ops.masking import mask_intake
from ops.progress import progress_json
from ops.values import Value
from ops.values import checked_value

logger = logging.getLogger("countersign.door")

GUESTS = 48
GUESTS_OF_ONE = 16
"""So many at once, and of one user: nobody's silent guests keep the others out."""

READ_KINDS = frozenset({"queried", "exported", "backed_up"})
"""What a guest who may read the file does by themselves, and only has written down here."""

HEAVY_GUESTS = 24
HEAVY_GUESTS_OF_ONE = 8
"""So many of them have plans made or schemas compared; the other places are for who decides, stops or looks."""


def line_of(words: Sequence[str]) -> str:
    """Words as the shell gave them, as the one line that `split_line` takes apart into the same words again.

    Curly quotes are straightened inside each word first: afterwards they would open quotes of their own.
    """
    return shlex.join(forgive(word) for word in words)


class Door:
    """Serves the socket as long as the process holds the log. `close()` waits for those who are still being served."""

    def __init__(self, ops: Ops, *, ready: Callable[[Reply], None] = lambda _: None) -> None:
        self.ops = ops
        self.ready = ready
        self._path = socket_path(ops.log.path)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._guests: dict[threading.Thread, int] = {}
        self._heavy: list[int] = []
        self._mutex = threading.Lock()
        self._closing = threading.Event()
        self._path.unlink(missing_ok=True)  # we hold the log's lock, so a socket that stands here is a dead process's
        with short_path(self._path) as name:
            self._server.bind(name)
        self._path.chmod(0o666)  # who reaches the folder may knock; the system tells us who it is
        self._server.listen(GUESTS)
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        """Take no new guests, take the socket away, and finish with those inside, for `seconds` at most (None: all)."""
        self._closing.set()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a guest
        self._thread.join()
        self._server.close()
        deadline = None if seconds is None else time.monotonic() + seconds
        for guest in list(self._guests):
            guest.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:  # closing, or this process has too many files open just now
                self._closing.wait(0.1)
                continue
            uid = _uid_of(connection)
            self._guests = {guest: whose for guest, whose in self._guests.items() if guest.is_alive()}
            if len(self._guests) >= GUESTS or list(self._guests.values()).count(uid) >= GUESTS_OF_ONE:
                connection.close()
                continue
            guest = threading.Thread(target=self._welcome, args=(connection, uid), name="door-guest", daemon=True)
            self._guests[guest] = uid
            guest.start()

    def _welcome(self, connection: socket.socket, uid: int) -> None:
        with connection:
            try:
                connection.settimeout(HELLO_SECONDS)
                _send(connection, {"hello": self.ops.log.log_id, "format": FORMAT})
                asked = _read_line(connection)
                if (noted := _note_of(asked, uid)) is not None:
                    _send(connection, {"noted": self._note(noted)})
                    return
                words, behind = _asked(asked)
                line, act = line_of(words), f"door:{uuid.uuid4()}"
                try:
                    value = _value_in(asked)
                except OpsError as error:
                    _send(connection, reply_json(error_reply(error)))
                    return
                with self._place_for(uid, line) as has_place, self.ops.values.hold(act, value):
                    reply = say(
                        self.ops,
                        line,
                        actor=terminal_actor(uid),
                        front=Front.TERMINAL,
                        act=act,
                        progress=lambda words: _tell(connection, progress_json(words)),
                        is_crowded=not has_place,
                        behind=behind,
                    )
                self.ready(reply)
                _send(connection, reply_json(reply))
            except (OSError, ValueError) as error:
                logger.info("door_guest_left error=%s", type(error).__name__)

    def _note(self, noted: Draft) -> bool:
        """Write down that this user reads the log, and say whether that is done: who is not told so shows nothing."""
        try:
            self.ops.log.append([noted], id=f"door:{uuid.uuid4()}")
        except AuditError as error:
            logger.warning("reading_not_recorded actor=%s error=%s", noted.actor, error.message)
            return False
        return True

    @contextlib.contextmanager
    def _place_for(self, uid: int, line: str) -> Iterator[bool]:
        """Whether this user's line may be done now; what is heavy keeps its place while this lasts."""
        if not is_heavy(line):
            yield True
            return
        with self._mutex:
            has_place = len(self._heavy) < HEAVY_GUESTS and self._heavy.count(uid) < HEAVY_GUESTS_OF_ONE
            if has_place:
                self._heavy.append(uid)
        try:
            yield has_place
        finally:
            if has_place:
                with self._mutex:
                    self._heavy.remove(uid)


def _uid_of(connection: socket.socket) -> int:
    """The user who connected, as the system proves it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def _note_of(line: bytes, uid: int) -> Draft | None:
    """What a guest reads of the log by themselves and has written down; None: they say a word. Raises ValueError for a kind
    that is nobody's to say; the log refuses data that does not fit."""
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError from None
    if not isinstance(found, dict) or "note" not in found:
        return None
    match found["note"]:
        case {"kind": str(kind), "data": dict(data)} if kind in READ_KINDS:
            masked = {name: mask_intake(value) if isinstance(value, str) else value for name, value in data.items()}
            return Draft(kind=kind, actor=terminal_actor(uid).id, stream="all", data=masked)
        case {"kind": "refused", "data": {"facts": {"by": str(by), "from": dict(places)}}}:  # the sentence is ours
            return Draft(kind="refused", actor=terminal_actor(uid).id, stream="all", data=not_let_in(by, places))
    raise ValueError


def _asked(line: bytes) -> tuple[list[str], list[str]]:
    """The words that a guest says, and who they say started the job that they are in. Raises ValueError for anything else."""
    try:
        asked = json.loads(line)
    except RecursionError:
        raise ValueError from None
    words = asked.get("words") if isinstance(asked, dict) else None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError
    behind = asked.get("behind", [])
    if not isinstance(behind, list) or len(behind) > MOST:
        raise ValueError
    if not all(isinstance(login, str) and 0 < len(login) <= LENGTH for login in behind):
        raise ValueError
    "".join([*words, *behind]).encode()  # half a character (a lone surrogate) can be neither stored nor shown
    return words, behind


def _value_in(line: bytes) -> Value | None:
    """The value of a secret that a guest said beside the words. Raises OpsError(BAD_USAGE) for one that cannot be set."""
    said = json.loads(line).get("value")
    if said is None:
        return None
    try:
        text = base64.b64decode(said, validate=True).decode()
    except (TypeError, ValueError):  # whose message would show it
        raise OpsError(Reason.BAD_USAGE, "That value is not UTF-8 text, in Base64.", "Enter it again.") from None
    return checked_value(text)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    """Progress is a courtesy: a guest who left, or does not listen, does not stop the work."""
    with contextlib.suppress(OSError):
        _send(connection, message)


def _read_line(connection: socket.socket) -> bytes:
    """What the guest says, up to the end of the line. Raises ValueError when it is too long or does not end in time."""
    found = b""
    deadline = time.monotonic() + HELLO_SECONDS
    while b"\n" not in found:
        part = connection.recv(LINE_BYTES)
        found += part
        if not part or len(found) > LINE_BYTES or time.monotonic() > deadline:
            raise ValueError
    return found.partition(b"\n")[0]
