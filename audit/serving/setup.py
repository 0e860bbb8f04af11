"""How Datasette is set: what it may do, how it opens the files, what it tells of their tables."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasette.database import Database

from audit.schema import connect_reader
from audit.serving.answers_sql import TABLES
from audit.serving.dictionary import LOG_TABLES

LOG_SECONDS = 2.0
"""How long a question to the log itself may take: a long read of it keeps its WAL from being reset."""

SETTINGS = {
    "allow_download": False,
    "suggest_facets": False,  # guessing takes nearly all the time of a page of a long log
    "sql_time_limit_ms": int(LOG_SECONDS * 1000),
    "facet_time_limit_ms": 1500,
    "max_returned_rows": 2000,
    "max_csv_mb": 0,
    "truncate_cells_html": 600,
    "default_cache_ttl": 0,
}


READING = {"view-instance", "view-database", "view-table", "view-query", "execute-sql"}


class ReadOnly(Database):  # type: ignore[misc]  # Datasette has no types
    """A file that is opened for each question and closed behind it: nothing is held in between, and what is put in the
    file's place is seen."""

    def connect(self, write: bool = False) -> sqlite3.Connection:
        if write:
            raise sqlite3.OperationalError("read only")
        return connect_reader(Path(self.path))

    async def execute_fn(self, fn: Callable[[sqlite3.Connection], Any]) -> Any:
        def asked() -> Any:
            connection = self.connect()
            try:
                self.ds._prepare_connection(connection, self.name)
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 20_000_000)
                return fn(connection)
            finally:
                connection.close()

        return await asyncio.get_running_loop().run_in_executor(self.ds.executor, asked)


def metadata() -> dict[str, Any]:
    """What Datasette tells of the tables, and which columns it counts the values of."""
    facets = {
        "request": ["target", "ended", "kind"],
        "approval": ["approver", "target"],
        "refusal": ["reason", "actor"],
        "look": ["actor", "how"],
    }
    answers = {
        name: {"description": about, "columns": dict(columns), "facets": facets.get(name, [])}
        for name, (about, columns) in TABLES.items()
    }
    log = {
        name: {"description": about, "columns": dict(columns), "hidden": name != "event"}
        for name, (about, columns) in LOG_TABLES.items()
    }
    answers["request"]["sort_desc"] = "asked_seq"
    log["event"] |= {"facets": ["kind", "environment"], "sort_desc": "seq"}
    log["_sqlite_migrations"] = {"hidden": True}
    return {
        "title": "Audit log",
        "databases": {
            "answers": {"description": "Tables made of the log; each row names its event.", "tables": answers},
            "log": {"description": "The log itself, read only.", "tables": log},
        },
    }
