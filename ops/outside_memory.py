"""How a target looked when it was last looked at, to say what changed since. Rebuildable: without it less can be said."""

import json
import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import closing
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from ops.catalog import MANAGED_SCHEMAS
from ops.catalog import catalog_hash
from ops.database import connect
from ops.errors import OpsError
from ops.fingerprint import Fingerprint
from ops.history import HistoryRow
from ops.history import history_sha256
from ops.layer import Ops
from ops.schema.comparing import compare
from ops.schema.model import Entry
from ops.schema.model import Key
from ops.schema.model import Schema
from ops.schema.reading import read_schema
from ops.targets import Target
from ops.tools import find_tools

logger = logging.getLogger("countersign.outside")

MOST_OBJECTS = 200


FORMAT = 1


@dataclass(frozen=True)
class Remembered:
    """What is known of an earlier state; None where it is not."""

    rows: tuple[HistoryRow, ...] | None
    schema: Schema | None


class Memory:
    """The last look at a target, in a folder that only we can read."""

    def __init__(self, ops: Ops, target: Target) -> None:
        self._target = target
        self._tools_bin = ops.settings.postgres.bin
        self._folder = ops.settings.path(ops.settings.state.path).parent / "watched"
        self._name = f"{target.project}.{target.environment}"

    def of(self, history: str, schema: str) -> Remembered:
        """What is known of the state with these two hashes."""
        return Remembered(self._rows(history), self._schema(schema))

    def changed_objects(self, remembered: Remembered, now: Fingerprint) -> tuple[dict[str, str], ...]:
        """Which objects of the schema are others than in `remembered`; empty where that cannot be told."""
        if remembered.schema is None:
            return ()
        try:
            after = self._read(now)
        except (OpsError, OSError) as error:
            logger.warning("schema_not_compared target=%s error=%s", self._target.name, type(error).__name__)
            return ()
        changes = compare(remembered.schema, after, schemas_left_out=MANAGED_SCHEMAS).changes
        return tuple(asdict(change) for change in changes[:MOST_OBJECTS])

    def keep(self, rows: Sequence[HistoryRow], now: Fingerprint) -> None:
        """Remember this state instead of the earlier one, as far as it can be written down."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write("rows", json.dumps([[row.version, row.name, row.sha256] for row in rows]))
            if self._schema(now.schema_sha256) is None:
                schema = [asdict(entry) for entry in self._read(now).entries.values()]
                if not self._is_still(now):
                    return  # it would be kept as what it is not; the next look keeps it
                self._write("schema", json.dumps({"format": FORMAT, "sha256": now.schema_sha256, "entries": schema}))
        except (OpsError, OSError) as error:
            logger.warning("state_not_remembered target=%s error=%s", self._target.name, type(error).__name__)

    def _read(self, now: Fingerprint) -> Schema:
        tools = find_tools(now.server_version // 10_000, self._tools_bin)
        return read_schema(self._target.database_url(), tools=tools, folder=self._folder)

    def _is_still(self, now: Fingerprint) -> bool:
        """Whether the target's schema is the same behind the dump as it was before."""
        with closing(connect(self._target.database_url(), purpose=f"watch {self._target.name}")) as connection:
            try:
                return catalog_hash(connection) == now.schema_sha256
            except psycopg.Error:
                return False

    def _rows(self, history: str) -> tuple[HistoryRow, ...] | None:
        with suppress(OSError, ValueError, TypeError):
            found = json.loads(self._path("rows").read_text(encoding="utf-8"))
            rows = tuple(HistoryRow(version, name, sha256, None) for version, name, sha256 in found)
            return rows if history_sha256(rows) == history else None
        return None

    def _schema(self, sha256: str) -> Schema | None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(self._path("schema").read_text(encoding="utf-8"))
            if (found["format"], found["sha256"]) == (FORMAT, sha256):
                entries = [_entry(one) for one in found["entries"]]
                return Schema({entry.key: entry for entry in entries}, has_left_out=True)
        return None

    def _path(self, what: str) -> Path:
        return self._folder / f"{self._name}.{what}"

    def _write(self, what: str, text: str) -> None:
        """The whole file or none of it, for our eyes alone."""
        unfinished = self._folder / f"{self._name}.{secrets.token_hex(4)}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.rename(self._path(what))


def _entry(found: dict[str, Any]) -> Entry:
    parent = Key(**found["parent"]) if found["parent"] else None
    needs = tuple(Key(**one) for one in found["needs"])
    return Entry(**{**found, "key": Key(**found["key"]), "parent": parent, "needs": needs})
