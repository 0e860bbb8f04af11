"""The definitions of a target's whole schema as single statements, dumped once for every state of its catalog.

What is kept lies in private files, and is found again only by a mark of the whole catalog: it is never out of date.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pglast

from ops.catalog import MANAGED_SCHEMAS
from ops.catalog import UNDO_SCHEMA
from ops.catalog import catalog_hash
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.rehearsal.target_state import Target
from ops.rehearsal.target_state import catalog_state
from ops.schema.reading import without_tables
from ops.standins import stand_in_files
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import run_tool

_FORMAT = 1
_KEPT = 6
_ATTEMPTS = 3
_DUMP_SECONDS = 600.0
_LOCK_SECONDS = 10
_MOST_BYTES = 512 * 2**20
# Made from the target's catalog by the copy's superuser, or not at all: they name libraries, servers and secrets.
_MADE_OTHERWISE = re.compile(
    r"(CREATE|ALTER|COMMENT ON) (EXTENSION|EVENT TRIGGER|FOREIGN DATA WRAPPER|SUBSCRIPTION|USER MAPPING)\b"
    r"|CREATE (USER MAPPING|SUBSCRIPTION)\b"
)
_LISTED = re.compile(r"\d+; \d+ \d+ ([A-Z]+(?: [A-Z]+)*) (\S+) (.*)")
_OF_DATABASE = frozenset(("ENCODING", "STDSTRINGS", "SEARCHPATH", "DEFAULT ACL"))
_ALL_BEFORE_17 = "GRANT SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE ON TABLE"
_RESTRICTED = re.compile(r"\\restrict ([A-Za-z0-9]+)\n")


@dataclass(frozen=True)
class Dump:
    """Statements in the order of restoring: what rows may follow, and what comes behind them.

    `platform` are those of managed schemas and of the database as a whole, without the project's own. `stand_ins`:
    extension to file name to text, for each extension of the target.
    """

    before_rows: tuple[str, ...]
    after_rows: tuple[str, ...]
    platform: tuple[str, ...]
    stand_ins: Mapping[str, Mapping[str, str]]


def dump_schema(
    connection: Connection,
    target: Target,
    database_url: str,
    *,
    tools: Tools,
    cache: Path | None,
    stop: Callable[[], bool],
) -> Dump:
    """The target's definitions as they were in the state that `target` tells, or in a later one if that passed.

    `cache` is a private folder (`private_folder`), or None: nothing is kept.
    Raises OpsError TARGET_REFUSED when pg_dump cannot read it, LOCK_TIMEOUT, STOPPED.
    """
    place = _place(cache, target, tools)
    kept = _kept(place)
    if kept is not None:
        return kept
    for _ in range(_ATTEMPTS):
        before = catalog_state(connection, catalog_hash(connection))
        made = Dump(
            *_dumped(database_url, target, tools, stop),
            {one.name: stand_in_files(connection, one) for one in target.extensions},
        )
        if catalog_state(connection, catalog_hash(connection)) == before:
            if place is not None and before == target.state:
                _keep(place, made)
            return made
    raise OpsError(
        Reason.TARGET_BUSY,
        f"The schema of {target.database} changed each of {_ATTEMPTS} times while it was read.",
        "Something changes it all the time; try again when that has ended.",
        exit_code=5,
    )


def _dumped(
    database_url: str, target: Target, tools: Tools, stop: Callable[[], bool]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The three lists of statements; the archive that they come from is gone again."""
    with tempfile.TemporaryDirectory(prefix="countersign-") as folder:
        archive, chosen = Path(folder, "archive"), Path(folder, "chosen")
        arguments = [
            *("--format=custom", "--schema-only", "--encoding=UTF8", "--no-password", "--no-tablespaces"),
            *(f"--lock-wait-timeout={_LOCK_SECONDS}s", f"--role={target.acting}", f"--file={archive}"),
            f"--exclude-schema={UNDO_SCHEMA}",  # rows of ours, which no file may speak of
            *without_tables(target.unreadable),
        ]
        with connection_files(database_url) as files:
            finished = run_tool(tools, "pg_dump", arguments, connection=files, timeout_seconds=_DUMP_SECONDS, stop=stop)
        if finished.exit_code != 0:
            raise _failed(target, finished.stderr)

        def written(*options: str) -> str:
            told = run_tool(
                tools,
                "pg_restore",
                [*options, str(archive)],
                timeout_seconds=_DUMP_SECONDS,
                output_limit_bytes=_MOST_BYTES,
                stop=stop,
            )
            if told.exit_code != 0:
                raise _failed(target, told.stderr)
            return told.stdout

        chosen.write_text("\n".join(_of_platform(written("--list").splitlines())) + "\n")
        return (
            tuple(_statements(written("--file=-", "--section=pre-data"))),
            tuple(_statements(written("--file=-", "--section=post-data"))),
            tuple(_statements(written("--file=-", f"--use-list={chosen}"))),
        )


def _of_platform(listed: Sequence[str]) -> Iterator[str]:
    """The lines of a list of contents that a project had before its first migration, as far as can be told."""
    for line in listed:
        match = _LISTED.match(line)
        if match is None:
            continue
        kind, schema, rest = match.groups()
        if schema == "-":
            words = rest.split(" ")
            name = words[1] if kind in ("ACL", "COMMENT") and words[0] == "SCHEMA" else words[0]
            is_kept = (
                kind in _OF_DATABASE
                or ((kind == "SCHEMA" or words[0] == "SCHEMA") and (name == "public" or is_managed(name)))
                or (kind == "PUBLICATION" and name.startswith("supabase_"))
            )
        elif schema == "public":
            is_kept = kind == "DEFAULT ACL"
        else:
            is_kept = is_managed(schema) and kind != "POLICY"
        if is_kept:
            yield line


def is_managed(schema: str) -> bool:
    """Whether the platform looks after this schema."""
    return any(fnmatchcase(schema, pattern) for pattern in MANAGED_SCHEMAS)


def _failed(target: Target, said: str) -> OpsError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "it said nothing")[:300]
    if "lock timeout" in said:
        return OpsError(
            Reason.LOCK_TIMEOUT,
            f"A table of {target.database} was not free to be read within {_LOCK_SECONDS} seconds.",
            "Something alters a table right now; try again when it has ended.",
            exit_code=5,
        )
    return OpsError(Reason.TARGET_REFUSED, f"The schema of {target.database} could not be dumped: {words}")


def _statements(plain: str) -> Iterator[str]:
    """The single statements of a plain dump, without those that a copy gets otherwise."""
    opened = _RESTRICTED.search(plain)
    if opened is not None:
        # Only psql's own lines, before the first object and behind the last: a function's body may look like them.
        plain = plain[: opened.start()] + plain[opened.end() :].replace(f"\n\\unrestrict {opened[1]}\n", "\n", 1)
    try:
        found = pglast.split(plain)
    except pglast.parser.ParseError as error:
        raise OpsError(Reason.UNEXPECTED, f"The dump of the schema cannot be read: {error}", exit_code=1) from error
    for statement in found:
        if _MADE_OTHERWISE.match(statement):
            continue
        if statement.startswith(("GRANT ", "ALTER DEFAULT PRIVILEGES ")):
            # All that there was before 17; pg_dump spells it out, since 17 has one privilege more.
            yield statement.replace(_ALL_BEFORE_17, "GRANT ALL ON TABLE", 1)
        else:
            # The restorer is no superuser, and may become whoever granted something.
            yield re.sub(r"^(RE)?SET SESSION AUTHORIZATION\b", r"\1SET ROLE", statement)


def private_folder(folder: Path | None) -> Path | None:
    """The folder, made if it is not there; None where others may write: what lies there is no schema of ours."""
    if folder is None:
        return None
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
    return folder if is_ours else None


def _place(cache: Path | None, target: Target, tools: Tools) -> Path | None:
    if cache is None:
        return None
    basis = [_FORMAT, target.identity, target.database, target.login, target.acting, str(tools.bin), target.state]
    return cache / f"{hashlib.sha256(json.dumps(basis).encode()).hexdigest()}.dump.json"


def _kept(place: Path | None) -> Dump | None:
    if place is None:
        return None
    try:
        found = json.loads(place.read_bytes())
        os.utime(place)
        parts = [tuple(found[part]) for part in ("before_rows", "after_rows", "platform")]
        return Dump(parts[0], parts[1], parts[2], found["stand_ins"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(place: Path, dump: Dump) -> None:
    """Whole or not at all; of the others only those used last stay."""
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix="writing-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(dump), file)
    os.replace(name, place)
    with contextlib.suppress(OSError):
        by_age = sorted(place.parent.glob("*.dump.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        halves = [path for path in place.parent.glob("writing-*") if path.stat().st_mtime < place.stat().st_mtime - 600]
        for path in (*by_age[_KEPT:], *halves):
            path.unlink(missing_ok=True)
