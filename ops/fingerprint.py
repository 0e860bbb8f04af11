"""Which database a target is, and what state it is in: two hashes that any change of history or schema changes."""

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any
from typing import TypedDict

from ops.catalog import MANAGED_SCHEMAS
from ops.catalog import catalog_hash
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.history import read_history

if TYPE_CHECKING:
    from ops.database import Connection


class Identity(TypedDict):
    """Which database it is, whatever its state: the fields of a fingerprint that have these names."""

    project_ref: str | None
    host: str
    database: str
    system_identifier: str | None


@dataclass(frozen=True)
class Fingerprint:
    """Identity and state of a target. `server_version` is like 170010; `host` is as the database URL names it.

    `system_identifier` is the cluster's own number, None where the role may not read it. `project_ref` is what the
    configuration says, None without one.
    """

    project_ref: str | None
    host: str
    database: str
    system_identifier: str | None
    server_version: int
    history_sha256: str
    schema_sha256: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_fingerprint(
    connection: "Connection",
    *,
    project_ref: str | None,
    schemas_left_out: Sequence[str] = MANAGED_SCHEMAS,
    history: Sequence[HistoryRow] | None = None,
    hashed: str | None = None,
) -> Fingerprint:
    """The target as it is now; `history` is what `read_history` said a moment ago, `hashed` the hash of that, where it is
    known. A few queries; writes nothing.

    Raises psycopg.Error when the server refuses one.
    """
    if hashed is None:
        hashed = history_sha256(read_history(connection) if history is None else history)
    return Fingerprint(
        **identity_of(connection, project_ref=project_ref),
        server_version=connection.info.server_version,
        history_sha256=hashed,
        schema_sha256=catalog_hash(connection, schemas_left_out=schemas_left_out),
    )


def identity_of(connection: "Connection", *, project_ref: str | None) -> Identity:
    """The identity alone; cheap. Raises psycopg.Error as `read_fingerprint` does."""
    return {
        "project_ref": project_ref,
        "host": connection.info.host,
        "database": connection.info.dbname,
        "system_identifier": _system_identifier(connection),
    }


def _system_identifier(connection: "Connection") -> str | None:
    from psycopg.errors import InsufficientPrivilege

    try:
        with connection.transaction():
            row = connection.execute("SELECT system_identifier::text FROM pg_catalog.pg_control_system()").fetchone()
    except InsufficientPrivilege:
        return None
    return str(row[0]) if row else None
