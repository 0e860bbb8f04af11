"""What a rehearsal rests on, so that it stands for another one only while all of that is the same."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ops.errors import OpsError
from ops.plan import Plan
from ops.rehearsal.report import Rehearsal
from ops.targets import Target

# Where a hazard is judged by a size, these are the steps; see ops.hazards.rehearsed.
_SMALL_BYTES = 2**20
_LARGE_BYTES = 2**30
_GROWN = 2
_MOST_SIZES = 10_000


def basis_of(plan: Plan, *, with_data: bool) -> str:
    """A hash of all that a rehearsal and the hazards after it rest on: what would run and what was read in it, the target
    as it is now, our code, and the programs that it uses. Asks the target."""
    beside = {"expected", "emergency", "hotfix", "functions"}
    found = {
        "plan": {key: value for key, value in plan.canonical.items() if key not in beside},
        "hazards": [asdict(one) for one in plan.hazards],
        "state": _state_of(plan.target),
        "with_data": with_data,
        "code": _code_sha256(),
        "tools": plan.target.all_settings.postgres.bin,
    }
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _state_of(target: Target) -> str:
    """A mark of what a fingerprint leaves out: roles, memberships, settings, versions of extensions, managed schemas.

    Where that cannot be read it is unlike any other, so that the rehearsal itself has to say why.
    """
    # Here because a plan that rehearses nothing goes without them.
    import psycopg

    from ops.database import connect
    from ops.rehearsal.target_state import read_target

    try:
        with closing(connect(target.database_url(), purpose=f"state {target.name}")) as connection:
            connection.execute("BEGIN READ ONLY")
            connection.execute("SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '2s'")
            found = asdict(read_target(connection))
    except (OpsError, psycopg.Error):
        return uuid.uuid4().hex
    del found["database_bytes"], found["history"]  # always another; told by the fingerprint
    # Sets become sorted lists: their own order is another one in every process.
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=sorted).encode()).hexdigest()


def sizes_of(rehearsal: Rehearsal) -> dict[str, int] | None:
    """The bytes on the target of every relation that it tells of, where they are known; None: too many to be kept."""
    found: dict[str, int] = {}
    for file in rehearsal.files:
        for facts in file.statements:
            found |= {one.relation: one.bytes for one in facts.locks if one.bytes is not None}
            found |= {one.relation: one.bytes for one in facts.rewrites if one.bytes is not None}
            found |= {one.name: one.bytes for one in facts.drops if one.bytes is not None}
    return found if len(found) <= _MOST_SIZES else None


def still_as_large(target: Target, sizes: Mapping[str, int]) -> bool:
    """Whether these relations are about as large on the target as they were. Asks it, for a few seconds at most."""
    if not sizes:
        return True
    from ops.rehearsal.sizes import read_target  # here for the same reason as above

    now = read_target(target.database_url(), sizes.keys()).sizes
    return all(name in now and _is_alike(size, now[name].bytes) for name, size in sizes.items())


def _is_alike(before: int, after: int | None) -> bool:
    """Whether a hazard would be judged the same, and told with about the same size."""
    if after is None or _step(before) != _step(after):
        return False
    return after < _SMALL_BYTES or max(before, after) <= _GROWN * min(before, after)


def _step(size: int) -> int:
    return (size >= _SMALL_BYTES) + (size >= _LARGE_BYTES)


@cache
def _code_sha256() -> str:
    """Of the code that rehearses and judges: what another version of it showed does not stand for this one's."""
    found = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.rglob("*.py"), *here.rglob("*.sql")]):
        found.update(path.read_bytes())
    return found.hexdigest()
