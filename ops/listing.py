"""What an environment's history says is applied, for a list; asked briefly, since others are waited for beside it."""

from contextlib import closing
from typing import TypedDict

import psycopg

from ops.database import connect
from ops.database import target_failed
from ops.history import read_history
from ops.target_reading import ASKED_SECONDS
from ops.targets import Target


class Row(TypedDict):
    """One applied version: its name, the hash of what was stored, and of how many statements."""

    name: str | None
    sha256: str | None
    stored: int | None


Rows = dict[str, Row]


def applied_rows(target: Target) -> Rows:
    """The rows of its history by version. Reads only. Raises OpsError when it does not answer within a few seconds."""
    url = target.database_url()
    with closing(connect(url, purpose=f"list {target.name}", connect_timeout_seconds=ASKED_SECONDS)) as connection:
        try:
            connection.execute(f"SET statement_timeout = '{ASKED_SECONDS}s'")
            rows = read_history(connection)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return {one.version: {"name": one.name, "sha256": one.sha256, "stored": one.stored} for one in rows}
