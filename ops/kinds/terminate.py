"""Ending a session that is in the way: asked for, approved, and done to exactly that session in that transaction.

It runs beside whatever holds the target, which is what waits for it. A session that has gone on to other work since is
not the one that people agreed to end; then nothing is done.
"""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from ops.asking_again import hint_after_change
from ops.blockers import query_shape
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import identity_of
from ops.guard import GUARD_KEY
from ops.guard import MIGRATING_KEY
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.occupying import occupant_of
from ops.people import Actor
from ops.policy import refused
from ops.proposing import Proposal
from ops.proposing import propose
from ops.recovery import Standing
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.status import Status
from ops.steps import Recorder
from ops.targets import Target

STEPS = ("preflight", "terminate")
GONE_SECONDS = 10.0
"""So long a session has to end once it was told to."""

_OUR_NAME = "countersign "
"""How our own sessions call themselves, which any other may do too."""
_SAME = ("pid", "backend_start", "xact_start")
"""What makes it the same session in the same transaction."""


@dataclass(frozen=True)
class Session:
    """A session of a target's database. Times are UTC text to the microsecond; `xact_start` is empty where it is in no
    transaction.

    `query` is the shape of its last one: no literals. `is_ours`:
    it is our login's and holds a lock that only a run or a backup takes (see ops.guard), whatever it calls itself.
    """

    pid: int
    backend_start: str
    xact_start: str
    application: str
    user: str
    client: str
    state: str
    query: str
    backend_type: str
    is_superuser: bool
    is_ours: bool

    def facts(self) -> dict[str, Any]:
        """What a plan keeps of it: nothing that changes within one transaction."""
        return {
            "pid": self.pid,
            "backend_start": self.backend_start,
            "xact_start": self.xact_start,
            "application": self.application,
            "user": self.user,
            "client": self.client,
        }


def request_termination(ops: Ops, target: Target, pid: int, actor: Actor, act: str) -> Request:
    """Ask to end the session with this number, as it is now. The same act asked again finds its request.

    Raises OpsError: UNKNOWN_SESSION for one that is not there; NOT_ALLOWED for one in no transaction, ours, a superuser's or
    the server's own; what asking the target and `propose` raise.
    """
    may_request_now(ops, target, actor).or_raise()
    with closing(connect(target.database_url(), purpose=f"look at pid {pid}")) as connection:
        try:
            found = read_session(connection, pid)
            fingerprint = _identity(connection, target)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    if found is None:
        raise OpsError(
            Reason.UNKNOWN_SESSION,
            f"{target.name} has no session with pid {pid}. Nothing was asked for.",
            "Perhaps it has ended by itself; the card of a run that waits names who is in the way.",
        )
    may_be_ended(found)
    asked = _asked_already(ops, target, found)
    helps = asked.of if asked is not None else _waiting_for(ops, target, pid)
    proposal = Proposal(
        kind="terminate",
        target=target,
        title=f"end session {pid} on",
        commit="",
        fingerprint=fingerprint,
        of=helps,
        does=tuple(asked.plan["does"]) if asked is not None else _does(found, helps),
        loses=(
            f"All that it did since {_moment(found.xact_start)} and has not committed is rolled back.",
            "Its program gets an error; whether it tries again is its own affair.",
        ),
        facts=found.facts(),
        steps=STEPS,
    )
    return propose(ops, proposal, actor, act)


def read_session(connection: Connection, pid: int) -> Session | None:
    """The session of this database with this number, None where there is none. Reads only. Raises psycopg.Error."""
    row = connection.execute(_SESSION, {"pid": pid, "keys": [GUARD_KEY, MIGRATING_KEY]}).fetchone()
    if row is None:
        return None
    found = Session(pid, *row)
    return Session(**{**vars(found), "query": query_shape(found.query)})


def _does(found: Session, helps: str | None) -> tuple[str, ...]:
    return (
        f"Ends the session with pid {found.pid}: {_who(found)}, in a transaction since {_moment(found.xact_start)}.",
        f"{helps} waits for it." if helps else "No run of ours is known to wait for it.",
        f"When this was asked for it was {found.state or 'hidden from our role'}.",
        f"Its last query: {found.query or 'hidden from our role'}",
        *_name_alone(found),
        "If it has ended by itself, or begun another transaction, by the time this is approved, nothing is done.",
    )


def _asked_already(ops: Ops, target: Target, found: Session) -> Request | None:
    """The request that waits to end this very session in this very transaction. Asked once more, it stands as it was asked
    for, whatever the session looks like at this moment."""
    waiting = (one for one in open_requests(ops.view) if one.kind == "terminate" and one.target == target.name)
    return next((one for one in waiting if one.status is Status.WAITING and _is_same(found, one)), None)


def _waiting_for(ops: Ops, target: Target, pid: int) -> str | None:
    """The run that waits for this session, by what it last saw in its way; between two tries, it waits too."""
    occupant = occupant_of(ops.view, target.stream)
    if occupant is None or occupant.blocked:
        return None
    steps = find_request(ops.view, occupant.request).steps
    seen = [step.detail.get("waits") or {} for step in steps if step.outcome == "running"]
    is_seen = any(one["pid"] == pid for waits in seen for one in waits.get("blockers", ()))
    return occupant.request if is_seen else None


def may_be_ended(found: Session) -> None:
    """Raise OpsError(NOT_ALLOWED) where this session is not one that anybody may ask to end."""
    pid = found.pid
    if found.is_ours:
        why, hint = (
            f"The session with pid {pid} is Countersign's own",
            "Stop the request that it works for: `stop R-7`.",
        )
    elif found.backend_type != "client backend":
        why = f"The session with pid {pid} is the server's own ({found.backend_type or 'hidden from our role'})"
        hint = "What the server does for itself gives way to others, or has to be done."
    elif found.is_superuser:
        why = f"The session with pid {pid} is a superuser's ({found.user}), which our role may not end"
        hint = "On Supabase those are the platform's own; ask its support."
    elif not found.xact_start:
        why, hint = f"The session with pid {pid} is in no transaction, so nobody waits for it", "Nothing is to be done."
    else:
        return
    refused(Reason.NOT_ALLOWED, f"{why}. Nothing was asked for.", hint).or_raise()


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """What is no longer as it was: the target, the policy, or the session. The target's schema may be, and is not asked."""
    target = ops.target_of(request)
    progress(f"looking at {target.name}")
    with closing(connect(target.database_url(), purpose=f"look at {request.id}")) as connection:
        try:
            found = read_session(connection, int(_facts(request)["pid"]))
            now = _identity(connection, target).to_json()
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    changed = [] if now == request.plan["fingerprint"] else ["the target"]
    changed += [] if target.settings.policy() == request.plan["policy"] else ["the policy"]
    return changed + ([] if _is_same(found, request) else [_gone_words(found, request)])


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    """Look whether it is still the same session in the same transaction, and end it."""
    request = recorder.request
    told_before = any(step.name == "terminate" for step in request.steps)
    with recorder.step("preflight", {"digest": request.digest, "makes": []}) as result:
        changed = what_changed(recorder.ops, request, recorder.progress)
        if changed and not told_before:
            raise OpsError(
                Reason.PLAN_CHANGED,
                f"Since {request.id} was made, this changed: {', '.join(changed)}. Nothing was done.",
                hint_after_change(request, changed),
                exit_code=3,
                details={"changed": changed},
            )
        result["health"] = []
        result["said"] = "exactly the session that was asked for" if not changed else "taken up again"
    if recorder.stop():
        told = "The session may have been told to end before." if told_before else "No session was ended."
        raise OpsError(Reason.STOPPED, f"{request.id} was stopped. {told}", exit_code=1)
    purpose = f"terminate {request.id}"
    with (
        recorder.step("terminate", dict(_facts(request))) as result,
        closing(connect(target.database_url(), purpose=purpose)) as connection,
    ):
        result["said"] = _end(connection, request)


def stands(ops: Ops, request: Request, target: Target) -> Standing:
    """Nothing is done twice by looking again; only one that was to stop, and perhaps did its work before, says so."""
    if request.stop_asked is None or all(step.name != "terminate" for step in request.steps):
        return Standing()
    with closing(connect(target.database_url(), purpose=f"look at {request.id}")) as connection:
        is_there = _is_same(read_session(connection, int(_facts(request)["pid"])), request)
    now = "is there as before" if is_there else "has ended, or its transaction has"
    return Standing(problem=f"somebody asked it to stop; it may have told the session to end before, which {now}")


def _end(connection: Connection, request: Request) -> str:
    """End it and wait until it is gone. Exactly this session in this transaction, whoever has its number by now."""
    facts = _facts(request)
    try:
        told = connection.execute(
            """
            SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
            WHERE pid = %(pid)s AND backend_start = %(backend_start)s::timestamptz
              AND xact_start = %(xact_start)s::timestamptz
            """,
            dict(facts),
        ).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        raise OpsError(
            Reason.TARGET_REFUSED,
            f"Our role may not end sessions of {facts['user']}; pid {facts['pid']} goes on.",
            "It takes a member of pg_signal_backend, and for a superuser's session a superuser.",
            exit_code=1,
        ) from None
    if told is None:
        return "it was gone already, or in another transaction: nothing was done"
    deadline = time.monotonic() + GONE_SECONDS
    while True:
        found = read_session(connection, int(facts["pid"]))
        if found is None or found.backend_start != facts["backend_start"]:
            return "it is ended, and its transaction is rolled back"
        if time.monotonic() >= deadline:
            raise OpsError(
                Reason.TARGET_REFUSED,
                f"The session with pid {facts['pid']} was told to end and is still there after {GONE_SECONDS:.0f} s.",
                "It may still be rolling back, which takes as long as its work took; ask again if it stays.",
                exit_code=1,
            )
        time.sleep(0.1)


def _is_same(found: Session | None, request: Request) -> bool:
    facts = _facts(request)
    return found is not None and all(found.facts()[name] == facts[name] for name in _SAME)


def _gone_words(found: Session | None, request: Request) -> str:
    pid = _facts(request)["pid"]
    if found is None or found.backend_start != _facts(request)["backend_start"]:
        return f"the session with pid {pid}, which has ended"
    return f"the session with pid {pid}, which has ended that transaction"


def _facts(request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.plan["facts"]
    return found


def _identity(connection: Connection, target: Target) -> Fingerprint:
    """The target without its state, which what runs there changes meanwhile, and which a held lock may keep from us."""
    identity = identity_of(connection, project_ref=target.settings.project_ref)
    return Fingerprint(**identity, server_version=connection.info.server_version, history_sha256="", schema_sha256="")


def _name_alone(found: Session) -> list[str]:
    """What people should know of a session that has the name of ours, and is not one that holds a target."""
    if not found.application.startswith(_OUR_NAME):
        return []
    return [
        "It calls itself Countersign's, which any session can, and holds none of the locks of a run. If a backup of ours "
        "needs it, that fails and can be asked for again."
    ]


def _who(found: Session) -> str:
    named = [
        found.application,
        f"user {found.user}" if found.user else "",
        f"from {found.client}" if found.client else "",
    ]
    return ", ".join(part for part in named if part) or "hidden from our role"


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"


_SESSION = """
    SELECT to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           coalesce(to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), ''),
           coalesce(a.application_name, ''), coalesce(a.usename, ''), coalesce(host(a.client_addr), ''),
           coalesce(a.state, ''), coalesce(a.query, ''), coalesce(a.backend_type, ''), coalesce(r.rolsuper, true),
           a.usesysid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user) AND EXISTS (
             SELECT FROM pg_catalog.pg_locks AS l
             WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = a.datid
               AND (l.classid::bigint << 32) + l.objid::bigint = ANY(%(keys)s::bigint[])
           )
    FROM pg_catalog.pg_stat_activity AS a LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = a.usesysid
    WHERE a.pid = %(pid)s AND a.datname = pg_catalog.current_database()
"""


KIND = Kind(what_changed=what_changed, carry_out=carry_out, stands=stands, ending="txt")
