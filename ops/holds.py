"""Legal holds: nothing of a request or a month is erased or dropped while somebody has it held."""

import re
from collections.abc import Collection

from audit import Draft
from audit import Query
from audit import View
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor

ALL = "all"
_WHAT = re.compile(r"R-[1-9][0-9]*|[0-9]{4}-(0[1-9]|1[0-2])|all")


def holds_in(view: View) -> frozenset[str]:
    """What is held: requests, months, or `all`. A hold whose text was erased cannot be told from others: all is held."""
    held: set[str] = set()
    for event in view.find(Query(kinds=("held", "released"))):
        what = str((event.data or {"what": ALL})["what"])
        held.add(what) if event.kind == "held" else held.discard(what)
    return frozenset(held)


def holds_event(holds: Collection[str], request: str | None, month: str) -> str:
    """Which hold an event is under; empty: none."""
    return next((one for one in (ALL, month, request or "") if one in holds), "")


def hold(ops: Ops, what: str, because: str, actor: Actor) -> str:
    """Have something held, and return what, as the log names it. Raises OpsError."""
    return _say(ops, "held", what, because, actor)


def release(ops: Ops, what: str, because: str, actor: Actor) -> str:
    """End a hold. Raises OpsError(BAD_USAGE) where that is not held."""
    return _say(ops, "released", what, because, actor)


def _say(ops: Ops, kind: str, what: str, because: str, actor: Actor) -> str:
    meant = what.upper() if what.lower().startswith("r-") else what.lower()
    if not _WHAT.fullmatch(meant):
        raise OpsError(
            Reason.BAD_USAGE, f"{what[:40]!r} cannot be held.", "Name a request (R-7), a month (2026-10) or all."
        )
    if kind == "released" and meant not in holds_in(ops.view):
        raise OpsError(Reason.BAD_USAGE, f"{meant} is not held.", "`audit query --kind held` lists the holds.")
    ops.log.append([Draft(kind=kind, actor=actor.id, stream="all", data={"what": meant, "because": because})])
    return meant
