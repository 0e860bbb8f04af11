"""Git as a child process: a clean environment, limits, its words made safe to show, objects read and checked.

Repositories are hostile: nothing in one may run a program here, and git's words may hold what a stranger wrote.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO
from typing import Self

from ops.errors import OpsError
from ops.errors import Reason

# What git needs to reach a private remote as its operator does: their keys, credential helpers, proxies and CA
# certificates. Everything else in our environment (Slack tokens, database URLs) stays out of git and its helpers.
_OPERATORS = (
    *("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS"),
    *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
    *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)

_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "fetch.fsckObjects=true",
    # Flaws that old tools left in honest histories for ever; what we read of commits and trees we parse strictly.
    "fetch.fsck.zeroPaddedFilemode=warn",
    "fetch.fsck.missingSpaceBeforeDate=warn",
    "fetch.fsck.missingEmail=warn",
    "fetch.fsck.badEmail=warn",
    "fetch.fsck.badTimezone=warn",
    # A plan is computed again at its own commit, even after a forced push: nothing is ever thrown away.
    "gc.pruneExpire=never",
    "gc.autoDetach=false",
)

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
ASKED_AT_ONCE = 500
"""So many names fit into a pipe (64 KB), so that git takes them all before we read the first answer."""

FILE_LIMIT_BYTES = 8 * 2**20
_SHOWN_CHARACTERS = 400
_STDERR_BYTES = 64 * 1024
_GRACE_SECONDS = 2


def clean_environment(extra: Mapping[str, str], *, operators: bool = False) -> dict[str, str]:
    """The whole environment of a git process. With `operators`, also what reaches a private remote."""
    names = ("PATH", "TMPDIR", *(_OPERATORS if operators else ()))
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        "LC_ALL": "C.UTF-8",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",  # refs/replace would show other bytes than the commit's
        "GIT_GRAFT_FILE": "/dev/null",
        "GIT_NO_LAZY_FETCH": "1",  # a partial clone would be asked for missing objects by a command of its choice
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        **extra,
    }


def printable(text: str, limit: int) -> str:
    """The text on one line, without control or direction characters, cut to so many characters."""
    line = " ".join("".join(part if part.isprintable() else " " for part in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def safe_words(stderr: bytes) -> str:
    """What git said, fit to be shown: credentials in URLs masked, one line, advice left out."""
    lines = stderr.decode(errors="replace").splitlines()
    kept = [line for line in lines if line.strip() and not line.startswith(("hint:", "warning:"))]
    return printable(_CREDENTIALS.sub("***@", " ".join(kept)), _SHOWN_CHARACTERS)


def run_git(
    git_dir: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout_seconds: float,
    stdin: bytes = b"",
) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of one git command on this bare repository.

    Raises OpsError(REPOSITORY_UNAVAILABLE) when it takes longer; git and its children (ssh) are ended then.
    """
    # A file for stderr: an SSH connection kept for later (ControlPersist) inherits it, and a pipe would never end.
    with tempfile.TemporaryFile() as words:
        process = _start(git_dir, arguments, environment, stderr=words)
        try:
            stdout, _ = process.communicate(stdin, timeout=timeout_seconds)
        except BaseException as error:
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise OpsError(
                Reason.REPOSITORY_UNAVAILABLE,
                f"git {arguments[0]} took longer than {timeout_seconds:g} seconds and was ended.",
                "Check that the repository's host answers, then try again.",
                exit_code=1,
            ) from error
        words.seek(0)
        return process.returncode, stdout, words.read(_STDERR_BYTES)


def _start(
    git_dir: Path, arguments: Sequence[str], environment: Mapping[str, str], *, stderr: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    # --git-dir: no search through parent folders, and safe.bareRepository does not matter.
    command = ["git", f"--git-dir={git_dir}", *(part for one in _SETTINGS for part in ("-c", one)), *arguments]
    try:
        return subprocess.Popen(  # a session of its own: no terminal to ask on, and one group to end
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise OpsError(Reason.TOOLS_MISSING, f"git cannot be started: {error.strerror}.", "Install git.") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and every child of it. The group is ours: `_start` made it."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGTERM)  # git removes its lock files then
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            _stream(stream).close()


@contextmanager
def one_at_a_time(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold the lock on this file, whose folder is made 0700 if missing, against threads and processes.

    Raises OpsError: REPOSITORY_UNAVAILABLE when somebody else keeps it longer, BAD_CONFIG when it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = path.open("wb")
    except OSError as error:
        raise OpsError(
            Reason.BAD_CONFIG,
            f"The folder for mirrors of repositories, {path.parent}, cannot be written: {error.strerror}.",
            "Make it writable for the user that runs Countersign.",
        ) from error
    until = time.monotonic() + timeout_seconds
    with lock:
        while not _locked(lock):
            if time.monotonic() >= until:
                raise OpsError(
                    Reason.REPOSITORY_UNAVAILABLE,
                    f"Another process has been fetching the repository for {timeout_seconds:g} seconds.",
                    "Try again in a moment.",
                    exit_code=5,
                )
            time.sleep(0.02)
        yield


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Objects:
    """Objects of a bare repository, read through one `git cat-file --batch` and each checked against its name."""

    def __init__(self, git_dir: Path, *, timeout_seconds: float) -> None:
        environment = clean_environment({"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"})
        self._process = _start(git_dir, ["cat-file", "--batch"], environment, stderr=subprocess.DEVNULL)
        self._asked: deque[str] = deque()
        self._timer = threading.Timer(timeout_seconds, self._process.kill)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._process.kill()
        _stream(self._process.stdin).close()
        _stream(self._process.stdout).close()
        self._process.wait()

    def ask(self, shas: Sequence[str]) -> None:
        """Have git begin with these, which are then read in this order: it need not wait for us after each. At most
        `ASKED_AT_ONCE`, or it and we would wait for each other."""
        with contextlib.suppress(OSError):  # the first of them then cannot be read, which says so
            asked = _stream(self._process.stdin)
            asked.write("".join(f"{sha}\n" for sha in shas).encode())
            asked.flush()
        self._asked.extend(shas)

    def read(self, sha: str, kind: str, *, what: str, limit_bytes: int) -> bytes:
        """The bytes of this object, which is asked for unless it is the next of those that were. `what` names it in errors.

        Raises OpsError: REPOSITORY_UNAVAILABLE when it is missing or damaged, REPOSITORY_REFUSED when it is of
        another kind or larger than the limit (then not a byte of it has been read into memory).
        """
        if not self._asked:
            self.ask([sha])
        self._asked.popleft()
        try:
            header = _stream(self._process.stdout).readline().decode().split()
        except OSError:
            header = []
        if len(header) != 3 or header[0] != sha:
            raise _damaged(f"{what} ({sha[:12]}) is not in the mirror of the repository")
        if header[1] != kind:
            raise OpsError(
                Reason.REPOSITORY_REFUSED,
                f"{what} is a {header[1]}, not a {kind}.",
                "Look at the repository at that commit.",
            )
        size_bytes = int(header[2])
        if size_bytes > limit_bytes:
            raise OpsError(
                Reason.REPOSITORY_REFUSED,
                f"{what} has {size_bytes:,} bytes, and only {limit_bytes:,} more are read.",
                "Bring data of this size to the database in another way than by a migration.",
            )
        content = _stream(self._process.stdout).read(size_bytes + 1)[:-1]
        # SHA-1 is git's own name for the object; a bit that rotted on our disk must not become SQL that runs.
        named = hashlib.sha1(f"{kind} {size_bytes}\0".encode() + content, usedforsecurity=False).hexdigest()
        if named != sha:
            raise _damaged(f"{what} ({sha[:12]}) is damaged in the mirror of the repository")
        return content


def read_tree(objects: Objects, sha: str, what: str) -> dict[bytes, tuple[str, str]]:
    """Mode and object of each entry by its name, as the tree's bytes say. Raises OpsError(REPOSITORY_REFUSED)."""
    content = objects.read(sha, "tree", what=what, limit_bytes=FILE_LIMIT_BYTES)
    entries: dict[bytes, tuple[str, str]] = {}
    found = _ENTRY.findall(content)
    for mode, name, sha1 in found:
        entries[name] = (_mode(mode), sha1.hex())
    whole = sum(len(mode) + len(name) for mode, name, _ in found) + 22 * len(found) == len(content)
    if not whole or len(entries) < len(found) or not entries.keys().isdisjoint(_ODD_NAMES):
        raise OpsError(Reason.REPOSITORY_REFUSED, f"{what} is malformed: an entry's name cannot be.")
    return entries


_ENTRY = re.compile(rb"([^ \0]*) ([^/\0]*)\0(.{20})", re.DOTALL)
_ODD_NAMES = {b"", b".", b".."}


@lru_cache(maxsize=64)
def _mode(mode: bytes) -> str:
    return mode.decode(errors="replace").lstrip("0")


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:  # cannot be: _start always asks for pipes
        msg = "git was started without a pipe"
        raise RuntimeError(msg)
    return stream


def _damaged(sentence: str) -> OpsError:
    return OpsError(
        Reason.REPOSITORY_UNAVAILABLE,
        f"{sentence}.",
        "If trying again does not help, delete the mirror; the next plan makes it again.",
        exit_code=1,
    )
