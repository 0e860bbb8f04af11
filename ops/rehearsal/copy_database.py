"""Filling a copy's database: extensions, definitions, rows, and at last what only a superuser can say about it."""

import contextlib
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import psycopg
from psycopg import sql

from ops.database import Connection
from ops.rehearsal.dump_cache import Dump
from ops.rehearsal.dump_cache import is_managed
from ops.rehearsal.extensions import make_extensions
from ops.rehearsal.restoring import Refused
from ops.rehearsal.restoring import add_what_needs_a_superuser
from ops.rehearsal.restoring import add_wrappers
from ops.rehearsal.restoring import fill_views
from ops.rehearsal.restoring import restore
from ops.rehearsal.restoring import restore_history
from ops.rehearsal.roles import Restorer
from ops.rehearsal.roles import dismiss
from ops.rehearsal.roles import endow
from ops.rehearsal.roles import make_restorer
from ops.rehearsal.target_state import Target
from ops.rehearsal.with_data import restore_rows
from ops.scratch import Scratch
from ops.tools import WHEEL_VERSION

_FIRST = "postgres"  # the database that initdb makes
_TEMPLATES = frozenset(("template0", "template1"))


@dataclass(frozen=True)
class Made:
    """A database of the cluster. `refused` are statements of the dump that it lacks, `notes` sentences for people."""

    database: str
    notes: tuple[str, ...]
    refused: tuple[Refused, ...]


def make_database(
    scratch: Scratch,
    target: Target,
    dump: Dump,
    *,
    only_platform: bool = False,
    rows_from: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Made:
    """A database with these definitions and the target's owners, privileges and settings.

    `only_platform`: without what is the project's own; `rows_from`: the target's address where the copy is to have its
    rows.
    Raises OpsError STOPPED, and UNEXPECTED when the cluster went away.
    """
    progress("making the copy's database")
    if only_platform:
        dump = replace(dump, before_rows=dump.platform, after_rows=())
        triggers = tuple(trigger for trigger in target.event_triggers if is_managed(trigger.schema))
        target = replace(target, event_triggers=triggers, publications=(), history=None)
    database = _make_empty(scratch, target)
    with contextlib.closing(psycopg.connect(scratch.superuser_url(database), autocommit=True)) as superuser:
        restorer = make_restorer(superuser, target, database)
        scratch.let_in(superuser, restorer.name)
        with contextlib.closing(_as(restorer, scratch, database)) as session:
            notes = list(make_extensions(superuser, session, target, scratch.tools))
            add_wrappers(superuser, target, restorer.helpers)
            refused = restore(session, _unmade(dump.before_rows, target), progress=progress, stop=stop)
            if rows_from is not None:
                notes += restore_rows(scratch, target, rows_from, restorer.name, database, progress=progress, stop=stop)
            refused += restore(session, _unmade(dump.after_rows, target), progress=progress, stop=stop)
            notes += fill_views(session)
            if rows_from is None:
                notes += restore_history(session, target)
        dismiss(superuser, restorer, target, database)
        with_triggers = scratch.tools.version >= WHEEL_VERSION
        notes += add_what_needs_a_superuser(superuser, target, with_triggers=with_triggers)
        endow(superuser, target, database)
    return Made(database, tuple(notes), refused)


def _make_empty(scratch: Scratch, target: Target) -> str:
    """The name of an empty database: the one that initdb made, renamed, where it will do."""
    wanted = _FIRST if target.database in _TEMPLATES else target.database
    with contextlib.closing(psycopg.connect(scratch.superuser_url("template1"), autocommit=True)) as superuser:
        if target.encoding == "UTF8":
            if wanted != _FIRST:
                superuser.execute(
                    sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(_FIRST), sql.Identifier(wanted))
                )
            return wanted
        superuser.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(_FIRST)))
        # Another encoding than UTF8 goes with the C locale only.
        superuser.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C'").format(
                sql.Identifier(wanted), sql.Literal(target.encoding)
            )
        )
    return wanted


def _unmade(statements: Sequence[str], target: Target) -> tuple[str, ...]:
    """Without those for what the superuser makes: schemas of extensions, publications of all tables."""
    made = [f"CREATE SCHEMA {name}" for one in target.extensions for name in _spellings(one.schema)]
    for publication, _, _ in target.publications:
        for name in _spellings(publication):
            made += [f"CREATE PUBLICATION {name} FOR ALL TABLES", f"ALTER PUBLICATION {name} OWNER TO "]
    whole, beginnings = frozenset(made), tuple(one for one in made if one.endswith((" TABLES", " TO ")))
    return tuple(one for one in statements if one not in whole and not one.startswith(beginnings))


def _spellings(name: str) -> tuple[str, str]:
    return name, sql.Identifier(name).as_string(None)


def _as(restorer: Restorer, scratch: Scratch, database: str) -> Connection:
    return psycopg.connect(
        scratch.url(database, role=restorer.name), autocommit=True, prepare_threshold=None, client_encoding="utf8"
    )
