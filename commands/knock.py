"""The terminal's side of the door: say a line to the process that holds the log, and hear what it answers.

Light on purpose: a word that another process answers loads neither the log nor the ops layer.
"""

import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.behind import logins_behind
from commands.page_json import FORMAT
from commands.page_json import page_json
from commands.page_json import read_page
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.progress import read_progress
from ops.values import Value

LINE_BYTES = 64 * 1024
HELLO_SECONDS = 1.5
"""Within this time there is an answer, or the line is not said at all."""


def socket_path(log: Path) -> Path:
    """Where the door of a log is."""
    return log.with_name(log.name + ".sock")


def check_log(log: Path) -> None:
    """Without a log nothing is done; only `audit create` (through init and demo too) makes one. Raises OpsError."""
    try:
        log.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise OpsError(
            Reason.NO_LOG,
            f"There is no audit log at {log}, and nothing is done without one.",
            "Make it once with `countersign audit create`; if there was one, find out where it went first.",
        ) from None
    except OSError as error:
        raise OpsError(
            Reason.LOG_UNAVAILABLE,
            f"The audit log {log} cannot be reached: {error.strerror}.",
            "Ask whoever runs Countersign: you have to be let into the log's folder.",
        ) from error


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """The path of a socket, short enough for the system (108 bytes) whatever folder it is in."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def reply_json(reply: Reply) -> dict[str, Any]:
    """A reply as it goes through the door and to whoever prints it. A `file` that is no text goes with it, in base64."""
    held = {}
    if reply.file is not None and isinstance(reply.file.text, bytes):
        held = {"file": {"name": reply.file.name, "base64": base64.b64encode(reply.file.text).decode()}}
    return {
        **held,
        "reply": reply.to_json(),
        "page": page_json(reply.page),
        "exit_code": reply.exit_code,
        "ok": reply.ok,
        "request": reply.request,
    }


def knock(
    log: Path,
    words: Sequence[str],
    progress: Callable[[str], None],
    seconds: float = HELLO_SECONDS,
    *,
    value: Value | None = None,
) -> dict[str, Any] | None:
    """What the process that holds the log answers to a line (as `reply_json` makes it), or None when nobody says hello
    within `seconds`: then nothing was said. `value` goes along beside the words, for this act alone.

    Raises OpsError(OUTCOME_UNKNOWN) when the door fell shut before the answer, OpsError(BAD_USAGE) for a line that
    is too long to be said, OpsError(OTHER_VERSION) when the other process speaks otherwise: then nothing was said.
    """
    behind = logins_behind(os.environ)
    line = (
        json.dumps({"words": list(words), **({"behind": behind} if behind else {}), **_said_with(value)}).encode()
        + b"\n"
    )
    if len(line) > LINE_BYTES:
        raise OpsError(Reason.BAD_USAGE, f"That line is {len(line)} bytes long; {LINE_BYTES} is the most.", "Say less.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, connection.makefile("rb") as answers:
        if not _is_welcome(connection, answers, socket_path(log), seconds):
            return None
        try:
            connection.sendall(line)
            connection.settimeout(None)
            for answer in answers:
                said: dict[str, Any] = json.loads(answer)
                if "progress" not in said:
                    read_page(said["page"])
                    return said
                progress(read_progress(said))
        except (OSError, ValueError, KeyError) as error:
            raise _fell_shut() from error
    raise _fell_shut()


def leave_note(log: Path, kind: str, data: Mapping[str, Any], seconds: float = HELLO_SECONDS) -> bool:
    """Have the process that holds the log write down that this user reads it; False: nobody answers, or none wrote it down.

    Raises OpsError(OTHER_VERSION).
    """
    line = json.dumps({"note": {"kind": kind, "data": dict(data)}}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, connection.makefile("rb") as answers:
        if not _is_welcome(connection, answers, socket_path(log), seconds):
            return False
        try:
            connection.sendall(line)
            connection.settimeout(2 * seconds)
            told = json.loads(answers.readline(LINE_BYTES))
        except (OSError, ValueError):
            return False
    return isinstance(told, dict) and told.get("noted") is True


def _said_with(value: Value | None) -> dict[str, str]:
    """In letters that need no escapes, so that the longest value fits into a line."""
    return {} if value is None else {"value": base64.b64encode(value.text.encode()).decode()}


def _is_welcome(connection: socket.socket, answers: Any, path: Path, seconds: float) -> bool:
    """Whether somebody opens and says hello in time."""
    deadline = time.monotonic() + seconds
    try:
        connection.settimeout(max(0.01, seconds))
        with short_path(path) as name:
            connection.connect(name)
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        hello = answers.readline(LINE_BYTES)
    except OSError:
        return False
    return bool(hello) and _speaks_as_we_do(hello)


def _speaks_as_we_do(hello: bytes) -> bool:
    """Raises OpsError(OTHER_VERSION) unless it does: before anything is said, so that nothing is done unseen."""
    try:
        told = json.loads(hello)
    except ValueError:
        told = None
    if isinstance(told, dict) and told.get("format") == FORMAT:
        return True
    raise OpsError(
        Reason.OTHER_VERSION,
        "The process that holds the log is another version of Countersign; nothing was done.",
        "Restart the bot with the version that is installed, or use the command of the version that runs.",
    )


def _fell_shut() -> OpsError:
    return OpsError(
        Reason.OUTCOME_UNKNOWN,
        "The process that holds the log ended before it answered, or answered what cannot be read.",
        "See with `countersign status` and `countersign history` what was done.",
        exit_code=1,
    )
