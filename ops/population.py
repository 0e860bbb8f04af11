"""The changes of a period, as auditors take samples from them: what counts, which are drawn, and what the targets say."""

import hashlib
from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import psycopg

from audit import Query
from audit import View
from audit.changes import Change
from ops.database import connect
from ops.errors import OpsError
from ops.history import read_history
from ops.settings import Settings
from ops.targets import Target
from ops.targets import all_targets

CONNECT_SECONDS = 5
_WRITES = ("migration_applied", "history_repaired")


@dataclass(frozen=True)
class Reconciled:
    """A target's history beside what the log says that it has: how many versions are in both, and which in one only.

    `problem` says why the target could not be asked.
    """

    target: str
    in_both: int = 0
    only_in_log: tuple[str, ...] = ()
    only_there: tuple[str, ...] = ()
    problem: str | None = None


def unprotected(settings: Settings) -> frozenset[str]:
    """The targets where nobody has to approve. All others are production, those too that are not configured any more."""
    return frozenset(target.name for target in all_targets(settings) if not target.settings.asks_people)


def drawn(found: Sequence[Change], count: int, seed: str, log_id: str) -> list[Change]:
    """A sample: those whose SHA-256 of `<seed>:<log id>:<event number>` come first, in the order of the log.

    Anybody can draw it again, and nobody can choose what is in it.
    """

    def place(one: Change) -> bytes:
        return hashlib.sha256(f"{seed}:{log_id}:{one.seq}".encode()).digest()

    return sorted(sorted(found, key=place)[:count])


def reconciled(view: View, target: Target) -> Reconciled:
    """What the target's history has, beside what the log says. Reads only."""
    ours = _versions(view, target)
    try:
        with closing(
            connect(target.database_url(), purpose="population", connect_timeout_seconds=CONNECT_SECONDS)
        ) as connection:
            there = {row.version for row in read_history(connection)}
    except OpsError as error:
        return Reconciled(target.name, problem=error.message)
    except psycopg.Error as error:
        return Reconciled(target.name, problem=f"the database refused ({type(error).__name__})")
    return Reconciled(
        target.name,
        in_both=len(ours & there),
        only_in_log=tuple(sorted(ours - there)),
        only_there=tuple(sorted(there - ours)),
    )


def _versions(view: View, target: Target) -> set[str]:
    """The versions that the history has by what the log says: adopted, applied, repaired, entered, and not undone."""
    kinds = (*_WRITES, "migration_undone", "adopted", "recorded")
    found: set[str] = set()
    for event in view.find(Query(project=target.project, environment=target.environment, kinds=kinds)):
        data = event.data or {}
        match event.kind:
            case "adopted":
                found |= _texts(data.get("rows"))
            case "recorded":
                found |= _texts(data.get("versions"))
            case "migration_undone":
                found.discard(str(data.get("version")))
            case _:
                found.add(str(data.get("version")))
    return found


def _texts(values: object) -> set[str]:
    return {str(one) for one in values} if isinstance(values, Iterable) and not isinstance(values, str) else set()
