"""Taking prior copies: inside the transaction of the statement that is about to run, in a savepoint of their own.

What cannot be copied is told and left out; it never stops the statement. A lock that is not to be had, a stop and a lost
connection end the try, as they do in the statement itself.
"""

import json
import secrets
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from typing import Any
from typing import LiteralString

import psycopg
from psycopg import sql

from ops.catalog import UNDO_SCHEMA
from ops.database import Connection
from ops.database import is_lost
from ops.prior.choosing import AFTER
from ops.prior.choosing import COPY
from ops.prior.choosing import ROW
from ops.prior.choosing import hash_of
from ops.prior.choosing import listed
from ops.prior.choosing import refers
from ops.prior.choosing import rows_meant
from ops.prior.private import NotOursError
from ops.prior.private import make_schema
from ops.prior.private import place_of
from ops.prior.private import shut
from ops.prior.tables import Column
from ops.prior.tables import Kept
from ops.prior.tables import Shape
from ops.prior.tables import children_of
from ops.prior.tables import find_table
from ops.prior.tables import referring_to
from ops.prior.tables import shape_of
from ops.prior.touching import Touch
from ops.prior.touching import What

_SECONDS = 30
_MOST_TABLES = 20
_OURS = sql.SQL("{}.xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid").format(ROW)
_Query = sql.Composed


class NotCopiedError(Exception):
    """Why there is no copy, as the end of a sentence."""


@dataclass(frozen=True)
class Where:
    """Which statement the copies are taken for, and how many bytes they may take together."""

    request: str
    version: str
    statement: int
    line: int
    bytes: int


class Taking:
    """The copies for one statement. `left_out` are sentences about what was not copied."""

    def __init__(self, connection: Connection, where: Where, stop: Callable[[], bool]) -> None:
        self.kept: list[Kept] = []
        self.left_out: list[str] = []
        self._connection = connection
        self._where = where
        self._stop = stop
        self._own = ""  # the copy of the rows that the statement names itself; others are of what goes along
        self._expected: tuple[Shape, str] | None = None
        self._copied: set[tuple[int, What, tuple[str, ...]]] = set()

    def before(self, touch: Touch) -> None:
        """Copy what this is about to take away. Raises psycopg.Error where the statement's own try is over too."""
        oid = find_table(self._connection, touch.relation, by_name=touch.by_name)
        shape = shape_of(self._connection, oid) if oid is not None else None
        if shape is None:
            return  # a view, a temporary table, or nothing at all
        with self._or_left_out(str(shape)):
            if touch.unread:
                raise NotCopiedError(touch.unread)
            if touch.what in (What.TABLE, What.COLUMN):
                self._lock(shape)
            if touch.what is What.TABLE:
                self._whole(shape)
                for number in referring_to(self._connection, shape.oid) if touch.cascades else ():
                    other = shape_of(self._connection, number)
                    if other is not None:
                        self._lock(other)
                        self._whole(other)
            elif touch.what is What.COLUMN:
                self._columns(shape, touch.columns)
            elif touch.what is What.INSERTED:
                self._expect(shape)
            else:
                self._rows(shape, touch)

    def after(self, changed: int | None) -> None:
        """Make sure that the copies are of exactly the rows that the statement reached, `changed` of them."""
        kept, self.kept = self.kept, []
        for one in kept:
            is_there = False
            with self._or_left_out(one.name):
                self._check(one, changed if one.table == self._own else None)
                is_there = bool(one.rows) or one.what == "schema"
            if is_there:
                self.kept.append(one)
            else:  # empty, or of other rows
                self._run(sql.SQL("DROP TABLE {}").format(place_of(one.table)))
        if self._expected is not None:
            shape, before = self._expected
            with self._or_left_out(str(shape)):
                self._inserted(shape, before, changed)

    def _expect(self, shape: Shape) -> None:
        """Rows are about to be put in: which, is told afterwards by who wrote them last. Note who did so before."""
        if not shape.key:
            raise NotCopiedError("it has no primary key, by which what is inserted could be found again")
        self._check_size(shape.bytes)  # it is read whole
        written = sql.SQL("SELECT {} FROM {} AS {} WHERE {}").format(
            listed(shape.named(shape.key)), shape.identifier, ROW, _OURS
        )
        table, rows, _ = self._create(written, f"what was written into {shape}")
        if not rows:
            self._run(sql.SQL("DROP TABLE {}").format(place_of(table)))
        self._expected = (shape, table if rows else "")

    def _inserted(self, shape: Shape, before: str, changed: int | None) -> None:
        keys, names = shape.named(shape.key), tuple(one.name for one in shape.columns)
        query = sql.SQL("SELECT {}, {} AS {} FROM {} AS {} WHERE {}").format(
            listed(keys), hash_of(ROW, names), sql.Identifier(AFTER), shape.identifier, ROW, _OURS
        )
        if before:
            same = sql.SQL(" AND ").join(
                sql.SQL("{} = {}.{}").format(one.kept(ROW), COPY, sql.Identifier(one.name)) for one in keys
            )
            query += sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS {} WHERE {})").format(place_of(before), COPY, same)
        kept = self._keep(shape, What.INSERTED, keys, query, sets=names)
        if changed is not None and changed != kept.rows:
            raise NotCopiedError("other rows were written than it inserted itself")
        if before:
            self._run(sql.SQL("DROP TABLE {}").format(place_of(before)))
        if not kept.rows:
            self.kept.remove(kept)
            self._run(sql.SQL("DROP TABLE {}").format(place_of(kept.table)))

    def keep_schema(self, archive: bytes, version: str) -> None:
        """Keep the definitions of everything, as they were before the file of this version."""
        with self._or_left_out("the schema's definitions"):
            table = self._create(sql.SQL("SELECT {}::bytea AS archive").format(sql.Literal(archive)), "the schema")[0]
            self.kept.append(self._record("schema", table, bytes=len(archive), version=version))

    def _lock(self, shape: Shape) -> None:
        """Nobody writes between the copy and the statement, which takes a stronger lock anyway."""
        self._run(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(shape.identifier))

    def _whole(self, shape: Shape) -> None:
        if self._is_new(shape, What.TABLE, ()):
            self._check_size(shape.bytes)
            self._take(shape, What.TABLE, shape.columns, shape.identifier, sql.SQL(""))

    def _columns(self, shape: Shape, names: tuple[str, ...]) -> None:
        if not self._is_new(shape, What.COLUMN, names) or not shape.named(names):
            return  # told by the tree and by the rehearsal, or computed: then there is nothing to lose
        if not shape.key:
            raise NotCopiedError("it has no primary key, by which a row could be found again")
        if set(shape.key) & set(names):
            raise NotCopiedError("the column is part of its key")
        columns = shape.named((*shape.key, *names))
        present = sql.SQL(" OR ").join(
            sql.SQL("{}.{} IS NOT NULL").format(ROW, sql.Identifier(one.name)) for one in shape.named(names)
        )
        self._take(shape, What.COLUMN, columns, shape.identifier, sql.SQL("WHERE {}").format(present), sets=names)

    def _rows(self, shape: Shape, touch: Touch) -> None:
        if touch.what is What.UPDATED:
            if not shape.key:
                raise NotCopiedError("it has no primary key, by which a row could be found again")
            if set(shape.key) & set(touch.columns):
                raise NotCopiedError("its key is changed, so that no row could be found again")
            columns = shape.named((*shape.key, *touch.columns))
        else:
            columns = shape.columns
        which, alias = rows_meant(touch), sql.SQL(touch.alias)
        strength = "FOR UPDATE" if touch.what is What.DELETED else "FOR NO KEY UPDATE"
        chosen = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(one.kept(alias), sql.Identifier(one.name)) for one in columns
        )
        query = sql.SQL("SELECT {} FROM {} {} OF {}").format(chosen, which, sql.SQL(strength), alias)
        kept = self._keep(shape, touch.what, columns, query, sets=touch.columns)
        self._own = kept.table
        if touch.what is What.DELETED and kept.rows:
            self._going_along(shape, kept, {shape.oid})

    def _going_along(self, shape: Shape, kept: Kept, seen: set[int]) -> None:
        """The rows of other tables that a foreign key deletes, or empties, with the rows of this copy."""
        for child in children_of(self._connection, shape.oid):
            if child.oid in seen or len(seen) >= _MOST_TABLES:
                raise NotCopiedError("rows that go along refer to each other in a ring")
            other = shape_of(self._connection, child.oid)
            if other is None:
                continue
            if not child.deletes and (not other.key or set(other.key) & set(child.sets)):
                raise NotCopiedError(f"{other}, which is changed along, has no key that stays")
            what = What.DELETED if child.deletes else What.UPDATED
            columns = other.columns if child.deletes else other.named((*other.key, *child.sets))
            sets = () if child.deletes else child.sets
            more = self._take(other, what, columns, other.identifier, refers(shape, kept, other, child), sets=sets)
            if child.deletes and more.rows:
                self._going_along(other, more, seen | {child.oid})

    def _is_new(self, shape: Shape, what: What, names: tuple[str, ...]) -> bool:
        known = (shape.oid, what, tuple(sorted(names)))
        is_new = known not in self._copied
        self._copied.add(known)
        return is_new

    def _take(
        self,
        shape: Shape,
        what: What,
        columns: tuple[Column, ...],
        source: sql.Composable,
        where: sql.Composable,
        *,
        sets: tuple[str, ...] = (),
    ) -> Kept:
        query = sql.SQL("SELECT {} FROM {} AS {} {}").format(listed(columns), source, ROW, where)
        return self._keep(shape, what, columns, query, sets=sets)

    def _keep(
        self, shape: Shape, what: What, columns: tuple[Column, ...], query: _Query, *, sets: tuple[str, ...]
    ) -> Kept:
        if shape.bytes > self._bytes_left:
            self._check_size(self._estimated(query))
        table, rows, size = self._create(query, str(shape))
        kept = self._record(
            what.value,
            table,
            of=(shape.schema, shape.name),
            columns=columns,
            key=shape.key,
            sets=sets,
            rows=rows,
            bytes=size,
            sequences=shape.sequences if what is What.TABLE else (),
            triggers=shape.triggers if what in (What.UPDATED, What.DELETED) else (),
        )
        self.kept.append(kept)
        return kept

    def _record(self, what: str, table: str, *, version: str = "", **more: object) -> Kept:
        where = self._where
        found = Kept(what, table, version or where.version, where.statement, where.line)
        return replace(found, **more)  # type: ignore[arg-type]

    @property
    def _bytes_left(self) -> int:
        return self._where.bytes - sum(one.bytes for one in self.kept if one.what != "schema")

    def _check_size(self, size: int) -> None:
        if size > self._bytes_left:
            raise NotCopiedError(
                f"about {max(size // 2**20, 1):,} MB, and {self._bytes_left // 2**20:,} MB are left of `prior_copy`"
            )

    def _estimated(self, query: _Query) -> int:
        """So many bytes the server thinks that these are."""
        row = self._run(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
        told = row[0] if row else []
        plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
        return int(plan["Plan Rows"] * (plan["Plan Width"] + 28))

    def _create(self, query: _Query, whose: str) -> tuple[str, int, int]:
        """A private table of what the query says; its name, rows and bytes."""
        try:
            make_schema(self._connection)
        except NotOursError as error:
            raise NotCopiedError(str(error)) from None
        where = self._where
        number = where.request.lower().replace("-", "")
        table = f"{number}_{where.version[:30]}_s{where.statement + 1}_{secrets.token_hex(3)}"
        rows = self._run(sql.SQL("CREATE TABLE {} AS {}").format(place_of(table), query)).rowcount
        size = self._number(
            sql.SQL("SELECT pg_catalog.pg_table_size({}::pg_catalog.regclass)").format(
                sql.Literal(f'{UNDO_SCHEMA}."{table}"')
            )
        )
        self._check_size(size)
        shut(self._connection, table)
        said = f"{where.request}, file {where.version}, line {where.line}: {whose} before it. Removed when it is old enough."
        self._run(sql.SQL("COMMENT ON TABLE {} IS {}").format(place_of(table), sql.Literal(said)))
        return table, rows, size

    def _check(self, kept: Kept, changed: int | None) -> None:
        """Raises NotCopiedError unless these are the rows that the statement reached."""
        other = "other rows were reached than could be foreseen"
        rows = sql.Identifier(*kept.of)
        same = sql.SQL(" AND ").join(
            sql.SQL("{} = {}.{}").format(one.kept(ROW), COPY, sql.Identifier(one.name))
            for one in kept.columns
            if one.name in kept.key
        )
        if kept.what == What.UPDATED:
            if changed is not None and changed != kept.rows:
                raise NotCopiedError(other)
            self._run(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} pg_catalog.text").format(
                    place_of(kept.table), sql.Identifier(AFTER)
                )
            )
            marked = self._run(
                sql.SQL("UPDATE {} AS {} SET {} = {} FROM {} AS {} WHERE {} AND {}").format(
                    place_of(kept.table),
                    COPY,
                    sql.Identifier(AFTER),
                    hash_of(ROW, kept.sets),
                    rows,
                    ROW,
                    same,
                    _OURS,
                )
            ).rowcount
            if marked != kept.rows:
                raise NotCopiedError(other)
        elif kept.what == What.DELETED:
            if changed is not None and changed != kept.rows:
                raise NotCopiedError(other)
            if kept.key and self._number(
                sql.SQL("SELECT count(*) FROM {} AS {} JOIN {} AS {} ON {}").format(
                    place_of(kept.table), COPY, rows, ROW, same
                )
            ):
                raise NotCopiedError(other)

    @contextmanager
    def _or_left_out(self, what: str) -> Iterator[None]:
        """All of it or nothing, and nothing with a sentence that says why."""
        before = list(self.kept)
        try:
            with self._connection.transaction():
                limit = self._setting("statement_timeout")
                self._run(sql.SQL("SELECT pg_catalog.set_config('statement_timeout', {}, true)").format(f"{_SECONDS}s"))
                yield
                self._run(sql.SQL("SELECT pg_catalog.set_config('statement_timeout', {}, true)").format(limit))
        except NotCopiedError as error:
            self.kept = before
            self.left_out.append(f"{what} was not copied: {error}.")
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.Error as error:
            if is_lost(self._connection) or self._stop():
                raise
            self.kept = before
            slow = isinstance(error, psycopg.errors.QueryCanceled)
            why = f"it took longer than {_SECONDS} seconds" if slow else f"SQLSTATE {error.sqlstate or 'unknown'}"
            self.left_out.append(f"{what} was not copied: {why}.")

    def _setting(self, name: LiteralString) -> str:
        row = self._run(sql.SQL("SELECT pg_catalog.current_setting({})").format(name)).fetchone()
        return str(row[0]) if row else "0"

    def _number(self, query: _Query) -> int:
        row = self._run(query).fetchone()
        return int(row[0]) if row else 0

    def _run(self, query: sql.Composable | LiteralString) -> "psycopg.Cursor[tuple[Any, ...]]":
        text = query if isinstance(query, str) else query.as_string(self._connection)
        return self._connection.execute(text.encode(), prepare=False)
