"""What a backup must hold, kept beside it: so that it can be tried again when its target is another one, or gone."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
from pathlib import Path
from typing import Any

from ops.backup_catalog import Catalog
from ops.backup_catalog import Content
from ops.backup_catalog import Table
from ops.backup_restore import Contents
from ops.errors import OpsError
from ops.errors import Reason
from ops.standins import Extension


@dataclass(frozen=True)
class About:
    """The target under the snapshot, its rows, and the stand-ins (file name to text) that a trial needs."""

    catalog: Catalog
    contents: Contents
    extension_files: Mapping[str, str]


def write_about(path: Path, about: About) -> str:
    """Write it into a new file 0600, on the disk when this returns; its SHA-256."""
    data = json.dumps(_to_json(about), ensure_ascii=False).encode()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def read_about(path: Path) -> About:
    """Raises OpsError BACKUP_DAMAGED where it cannot be read."""
    try:
        return _from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path.name}, which says what the backup must hold, cannot be read ({type(error).__name__})."
        raise OpsError(Reason.BACKUP_DAMAGED, message, exit_code=1) from None


def _to_json(about: About) -> dict[str, Any]:
    catalog = {field.name: getattr(about.catalog, field.name) for field in fields(Catalog)}
    catalog |= {
        "tables": [_table(table) for table in about.catalog.tables],
        "left_out": [_table(table) for table in about.catalog.left_out],
        "extensions": [
            [one.oid, one.name, one.schema, sorted(one.members), sorted(one.access_methods)]
            for one in about.catalog.extensions
        ],
    }
    rows = [[table.oid, content.rows, content.hash] for table, content in about.contents.items()]
    return {"catalog": catalog, "rows": rows, "extension_files": dict(about.extension_files)}


def _table(table: Table) -> list[Any]:
    return [table.oid, table.schema, table.name, list(table.columns)]


def _from_json(found: dict[str, Any]) -> About:
    told = dict(found["catalog"])
    for name in ("tables", "left_out"):
        told[name] = tuple(Table(oid, schema, table, tuple(columns)) for oid, schema, table, columns in told[name])
    told["extensions"] = tuple(
        Extension(oid, name, schema, frozenset(members), frozenset(methods))
        for oid, name, schema, members, methods in told["extensions"]
    )
    told |= {name: tuple(told[name]) for name in ("roles", "not_held")}
    catalog = Catalog(**told)
    tables = {table.oid: table for table in catalog.tables}
    contents = {tables[oid]: Content(rows, hashed) for oid, rows, hashed in found["rows"]}
    return About(catalog, contents, {str(name): str(text) for name, text in found["extension_files"].items()})
