"""The door: a unix socket beside the log, through which other processes of this host speak to the one that may write.

The system proves who is at the other end (SO_PEERCRED), so a line that comes through the door is said by
`os:<host>/<login>` and by nobody else. One JSON object per line: `{"text", "act"}` in; `{"hello"}`, any number of
`{"progress"}`, and one `{"reply", "page", "exit_code", "ok"}` out.
"""

import contextlib
import json
import logging
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.dispatch import say
from commands.page import plain_page
from commands.reply import Reply
from commands.words import Front
from ops.layer import Ops
from ops.layer import host_name
from ops.people import Actor

logger = logging.getLogger("countersign.door")

LINE_BYTES = 64 * 1024
HELLO_SECONDS = 1.5
GUESTS = 16


def terminal_actor(uid: int) -> Actor:
    """The terminal user with this user id, as the system names them."""
    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        login = f"uid-{uid}"
    return Actor(f"os:{host_name()}/{login}")


@contextlib.contextmanager
def _short_path(log: Path) -> Iterator[str]:
    """The socket's path, short enough for the system whatever folder the log is in."""
    folder = os.open(log.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{log.name}.sock"
    finally:
        os.close(folder)


class Door:
    """Serves the socket as long as the process holds the log. `close()` waits for those who are still being served."""

    def __init__(self, ops: Ops, *, ready: Callable[[Reply], None] = lambda _: None) -> None:
        self.ops = ops
        self.ready = ready
        self._path = ops.log.path.with_name(ops.log.path.name + ".sock")
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._guests: set[threading.Thread] = set()
        self._closing = threading.Event()
        self._path.unlink(missing_ok=True)  # we hold the log's lock, so a socket that stands here is a dead process's
        with _short_path(ops.log.path) as path:
            self._server.bind(path)
        self._path.chmod(0o666)  # who reaches the folder may knock; the system tells us who it is
        self._server.listen(GUESTS)
        self._server.settimeout(0.2)
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no new guests, finish with those inside, and take the socket away."""
        self._closing.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)
        self._server.close()
        for guest in list(self._guests):
            guest.join()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self._guests = {guest for guest in self._guests if guest.is_alive()}
            if len(self._guests) >= GUESTS:
                connection.close()
                continue
            guest = threading.Thread(target=self._welcome, args=(connection,), name="door-guest", daemon=True)
            self._guests.add(guest)
            guest.start()

    def _welcome(self, connection: socket.socket) -> None:
        with connection:
            try:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                _, uid, _ = struct.unpack("3i", credentials)
                connection.settimeout(HELLO_SECONDS * 2)
                _send(connection, {"hello": self.ops.log.log_id})
                asked = json.loads(_read_line(connection))
                reply = say(
                    self.ops,
                    str(asked["text"]),
                    actor=terminal_actor(uid),
                    front=Front.TERMINAL,
                    act=f"door:{asked['act']}",
                    progress=lambda words: _tell(connection, {"progress": words}),
                )
                self.ready(reply)
                _send(connection, reply_json(reply))
            except (OSError, ValueError, KeyError) as error:
                logger.info("door_guest_left error=%s", type(error).__name__)


def reply_json(reply: Reply) -> dict[str, Any]:
    """A reply as it goes through the door."""
    return {
        "reply": reply.to_json(),
        "page": plain_page(reply.page),
        "exit_code": reply.exit_code,
        "ok": reply.ok,
        "request": reply.request,
    }


def knock(log: Path, text: str, act: str, progress: Callable[[str], None]) -> dict[str, Any] | None:
    """What the process that holds the log answers to a line, or None when nobody opens within the time for a hello.

    Raises ConnectionError when the door was opened and fell shut before the answer: then it is unknown what was done.
    """
    if not log.with_name(log.name + ".sock").exists():
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection:
        try:
            connection.settimeout(HELLO_SECONDS)
            with _short_path(log) as path:
                connection.connect(path)
            buffer = connection.makefile("rb")
            if not buffer.readline(LINE_BYTES):
                return None
        except OSError:
            return None
        _send(connection, {"text": text, "act": act})
        connection.settimeout(None)
        for line in buffer:
            said: dict[str, Any] = json.loads(line)
            if "progress" in said:
                progress(str(said["progress"]))
            else:
                return said
    raise ConnectionError


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _tell(connection: socket.socket, message: dict[str, Any]) -> None:
    """Progress is a courtesy: a guest who left does not stop the work."""
    with contextlib.suppress(OSError):
        _send(connection, message)


def _read_line(connection: socket.socket) -> bytes:
    found = b""
    deadline = time.monotonic() + HELLO_SECONDS * 2
    while b"\n" not in found and len(found) < LINE_BYTES and time.monotonic() < deadline:
        part = connection.recv(LINE_BYTES)
        if not part:
            break
        found += part
    return found.partition(b"\n")[0]
