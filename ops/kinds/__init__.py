"""The kinds of requests: what each checks again, runs and shows. A new kind is one module here, and its name below."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.kinds.kind import Kind

NAMES = (
    *("push", "adopt", "resume", "rollback", "restore", "cleanup", "repair"),
    *("record", "terminate", "reset", "restore_managed", "secrets", "functions"),
)
"""What the log has kept requests under; none is ever taken away."""


def kind_of(name: str) -> "Kind":
    """The kind of this name. Raises ValueError for a name that is none."""
    if name not in NAMES:
        raise ValueError(name)
    kind: Kind = import_module(f"ops.kinds.{name}").KIND
    return kind
