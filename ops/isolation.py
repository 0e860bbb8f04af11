"""How far a throw-away Postgres can be walled off on this machine, and the command prefix that does it."""

import functools
import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ops.errors import OpsError
from ops.errors import Reason

PLAIN_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that a server or a tool inherits: nothing of ours, so no secret can be read out of it."""

_UIDS = range(62_000, 64_000)  # below nobody and systemd's dynamic users, above what distributions hand out


@dataclass(frozen=True)
class Isolation:
    """What was reached. `level` is "full" (all three), "partial" (some) or "none"; `sentence` is for people."""

    own_uid: bool
    own_network: bool
    memory_limit: bool
    level: str
    sentence: str


def reached_isolation() -> Isolation:
    """What a scratch cluster started now by this process would be walled off by. Starts only `true`."""
    own_uid = os.geteuid() == 0 and _works(_drop_to(_UIDS[0], _UIDS[0]))
    own_network = bool(_own_namespaces())
    memory_limit = _can_limit_memory()
    words = [
        "a user id of its own" if own_uid else "the user id of this process",
        "no network" if own_network else "the network of this machine (this system allows no namespaces)",
        "a memory limit" if memory_limit else "no memory limit",
    ]
    reached = (own_uid, own_network, memory_limit)
    level = "full" if all(reached) else "partial" if any(reached) else "none"
    return Isolation(*reached, level, f"Scratch databases run with {words[0]}, {words[1]} and {words[2]}.")


LEVELS = ("none", "partial", "full")
"""From the least to the most."""


def demand_isolation(level: str) -> Isolation:
    """What a scratch cluster is walled off by here. Raises OpsError NOT_ALLOWED when that is less than `level`."""
    reached = reached_isolation()
    if LEVELS.index(reached.level) >= LEVELS.index(level):
        return reached
    lacking = [
        words
        for is_there, words in (
            (reached.own_uid, "a user id of its own (run as root)"),
            (reached.own_network, "a network of its own (the system must allow namespaces)"),
            (reached.memory_limit, "a limit on memory"),
        )
        if not is_there
    ]
    raise OpsError(
        Reason.NOT_ALLOWED,
        f"Scratch databases are isolated here as {reached.level}, and {level} is demanded: there is no"
        f" {', no '.join(lacking)}.",
        "Run where that is possible, or change `isolation` of the environment.",
        exit_code=3,
    )


def unused_uid() -> int:
    """A numeric user id that nobody on this machine has: no account, no process. No account is made."""
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            taken.add(process.stat().st_uid)
        except OSError:  # it ended while we looked
            continue
    free = [uid for uid in _UIDS if uid not in taken]
    return secrets.choice(free)


def account_uid() -> int:
    """The user id of some unprivileged account, nobody by preference.

    Because initdb, alone among the programs, looks its user up by name and refuses a bare number.
    """
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return max(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0)


def confined(command: list[str], *, uid: int | None, gid: int | None, memory_bytes: int) -> list[str]:
    """The command behind every wall this system has. `uid` and `gid` None: those of this process."""
    walls = list(_own_namespaces())
    if uid is not None and gid is not None:
        walls += _drop_to(uid, gid)
    if _can_limit_memory():
        walls += _with_limits(memory_bytes)
    return walls + command


def as_user(command: list[str], *, uid: int | None, gid: int | None) -> list[str]:
    """The command under another user id, with the network: for client tools. `uid` None: unchanged."""
    return [*_drop_to(uid, gid), *command] if uid is not None and gid is not None else command


def _drop_to(uid: int, gid: int) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--"]


def _with_limits(memory_bytes: int) -> list[str]:
    # A shell's ulimit because it is everywhere; the limit is per process, the cluster's connections are few.
    return ["sh", "-c", f'ulimit -c 0 && ulimit -v {memory_bytes // 1024} && exec "$@"', "sh"]


@functools.cache
def _own_namespaces() -> tuple[str, ...]:
    """The prefix that gives a network and System V memory of its own; empty where the system refuses."""
    user = () if os.geteuid() == 0 else ("--user", "--map-current-user")
    prefix = ("unshare", *user, "--net", "--ipc", "--")
    return prefix if _works(list(prefix)) else ()


@functools.cache
def _can_limit_memory() -> bool:
    return _works(_with_limits(2**32))


def _works(prefix: list[str]) -> bool:
    if shutil.which(prefix[0]) is None:
        return False
    command = [*prefix, "true"]
    try:
        subprocess.run(command, check=True, env=PLAIN_ENVIRONMENT, cwd="/", capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
