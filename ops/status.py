"""The statuses of a request and the only ways between them. docs/design.md prints its diagram from this table."""

from enum import StrEnum


class Status(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PARTIALLY_APPLIED = "partially_applied"
    INTERRUPTED = "interrupted"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


TRANSITIONS: dict[tuple[Status | None, str], Status] = {
    (None, "requested"): Status.WAITING,
    (Status.WAITING, "pinned"): Status.WAITING,
    (Status.WAITING, "shown"): Status.WAITING,
    (Status.WAITING, "approved"): Status.WAITING,
    (Status.WAITING, "started"): Status.RUNNING,
    (Status.WAITING, "rejected"): Status.REJECTED,
    (Status.WAITING, "cancelled"): Status.CANCELLED,
    (Status.WAITING, "expired"): Status.EXPIRED,
    (Status.WAITING, "superseded"): Status.SUPERSEDED,
    (Status.RUNNING, "resumed"): Status.RUNNING,
    (Status.RUNNING, "stop_asked"): Status.RUNNING,
    (Status.RUNNING, "superseded"): Status.SUPERSEDED,
    (Status.RUNNING, "succeeded"): Status.SUCCEEDED,
    (Status.RUNNING, "failed"): Status.FAILED,
    (Status.RUNNING, "partially_applied"): Status.PARTIALLY_APPLIED,
    (Status.RUNNING, "interrupted"): Status.INTERRUPTED,
}
"""(from, kind of event) → to. Any other pair changes nothing: steps and statements are inside `running`."""

FINAL = frozenset(Status) - {Status.WAITING, Status.RUNNING}
"""Nothing follows these; of them only `interrupted` keeps the target blocked, until a person decides."""

ENDINGS = frozenset(to.value for (start, _), to in TRANSITIONS.items() if start is Status.RUNNING and to in FINAL)
"""The kinds of event that end a run."""
ENDED = ENDINGS | {"rejected", "cancelled", "expired", "superseded"}
"""The kinds of event that end a request, whether or not it ran."""


def diagram() -> str:
    """The table as a Mermaid state diagram; docs/design.md shows it, and a test keeps the two the same."""
    lines = ["stateDiagram-v2"]
    for (start, kind), to in TRANSITIONS.items():
        if start is not to:
            lines.append(f"    {start.value if start else '[*]'} --> {to.value}: {kind}")
    return "\n".join(lines + [f"    {status.value} --> [*]" for status in Status if status in FINAL])
