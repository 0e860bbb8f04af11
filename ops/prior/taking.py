"""Taking prior copies: inside the transaction of the statement that is about to run, in savepoints of their own.

What cannot be copied is told and left out; it never stops the statement. A lock that is not to be had, a stop and a lost
connection end the try, as they do in the statement itself.
"""

import json
import secrets
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace

from psycopg import sql

from ops.apply_watch import Watch
from ops.catalog import UNDO_SCHEMA
from ops.database import Connection
from ops.prior.checking import COUNTED
from ops.prior.checking import OTHERS
from ops.prior.checking import OURS
from ops.prior.checking import checked
from ops.prior.checking import rows_of
from ops.prior.choosing import COPY
from ops.prior.choosing import ROW
from ops.prior.choosing import free_name
from ops.prior.choosing import hash_of
from ops.prior.choosing import listed
from ops.prior.choosing import refers
from ops.prior.choosing import rows_meant
from ops.prior.private import NotOursError
from ops.prior.private import make_schema
from ops.prior.private import place_of
from ops.prior.private import shut
from ops.prior.sending import NotCopiedError
from ops.prior.sending import Query
from ops.prior.sending import Sending
from ops.prior.tables import Column
from ops.prior.tables import Kept
from ops.prior.tables import Shape
from ops.prior.tables import children_of
from ops.prior.tables import find_table
from ops.prior.tables import has_volatile
from ops.prior.tables import referring_to
from ops.prior.tables import shape_of
from ops.prior.touching import Touch
from ops.prior.touching import What
from ops.prior.written import Rows
from ops.prior.written import Written
from ops.prior.written import root_of
from ops.prior.written import written

_MOST_TABLES = 20


@dataclass(frozen=True)
class Where:
    """Which statement the copies are taken for, and how many bytes they may take together."""

    request: str
    version: str
    statement: int
    line: int
    bytes: int


def lock_ahead(connection: Connection, watch: Watch, touches: Sequence[Touch]) -> None:
    """Lock the tables that a transaction copies whole, or columns of them, before it has any other lock: then nobody waits
    behind us but who writes to them. Raises psycopg.Error where the try is over; all else is told when it is copied."""
    sending = Sending(connection, watch)
    for touch in touches:
        with suppress(NotCopiedError), sending.all_or_nothing():
            shape = _find(sending, touch)
            if shape is not None and not touch.unread:
                sending.lock(shape.identifier)


def _find(sending: Sending, touch: Touch) -> Shape | None:
    """None for a view, a temporary table, or nothing at all."""
    with sending.watched():
        oid = find_table(sending.connection, touch.relation, by_name=touch.by_name)
        return shape_of(sending.connection, oid) if oid is not None else None


class Taking:
    """The copies for one statement. `left_out` are sentences about what was not copied."""

    def __init__(self, connection: Connection, where: Where, watch: Watch) -> None:
        self.kept: list[Kept] = []
        self.left_out: list[str] = []
        self._connection = connection
        self._where = where
        self._sending = Sending(connection, watch)
        self._run = self._sending.run
        self._own = ""  # the copy of the rows that the statement names itself; others are of what goes along
        self._expected: tuple[Shape, str] | None = None
        self._copied: set[tuple[int, What, tuple[str, ...]]] = set()
        self._start: Written | None = None
        self._touched: set[int] = set()
        self._roots: dict[str, int] = {}  # by the name of a copy: the uppermost table of which it is
        self._ranks: dict[str, int] = {}  # those first to which others refer

    def before(self, touch: Touch) -> None:
        """Copy what this is about to take away. Raises psycopg.Error where the statement's own try is over too."""
        shape = _find(self._sending, touch)
        if shape is None:
            return
        with self._or_left_out(str(shape)):
            self._touched.add(root_of(self._sending, shape.oid))
            if touch.unread:
                raise NotCopiedError(touch.unread)
            start = self._start = self._start or written(self._sending)
            if touch.what in (What.TABLE, What.COLUMN):
                self._sending.lock(shape.identifier)
            if touch.what is What.TABLE:
                self._whole(shape)
                for number in referring_to(self._connection, shape.oid) if touch.cascades else ():
                    other = shape_of(self._connection, number)
                    if other is not None:
                        self._sending.lock(other.identifier)
                        self._whole(other)
            elif touch.what is What.COLUMN:
                self._columns(shape, touch.columns)
            elif touch.what is What.INSERTED:
                self._expect(shape)
            else:
                self._rows(shape, touch)
            if written(self._sending).since(start):
                raise NotCopiedError("to look for its rows writes some already")

    def after(self, changed: int | None) -> None:
        """Make sure that the copies are of exactly the rows that were written, `changed` of them by the statement's own
        count: what its triggers and functions wrote elsewhere is in no copy."""
        if self._expected is not None:
            shape, before = self._expected
            with self._or_left_out(str(shape)):
                self._inserted(shape, before, changed)
        kept, self.kept = self.kept, []
        exact = self._exact(kept)
        for one in kept:
            with self._or_left_out(one.name):
                if one.what in COUNTED and self._roots[one.table] not in exact:
                    raise NotCopiedError(OTHERS)
                exactly = checked(self._sending, one, changed if one.table == self._own else None)
                if one.rows or one.what == "schema":
                    self.kept.append(exactly)
        stay = {one.table for one in self.kept}
        for one in kept:
            if one.table not in stay:  # empty, or of other rows
                self._run(sql.SQL("DROP TABLE {}").format(place_of(one.table)))
        self.kept.sort(key=lambda one: self._ranks.get(one.table, 0))

    def _exact(self, kept: Sequence[Kept]) -> frozenset[int]:
        """The tables of which just as many rows were written as are in these copies. Others than those that were looked at
        are told."""
        if self._start is None:
            return frozenset()
        expected: dict[int, Rows] = {}
        for one in kept:
            if one.what != "schema":
                root = self._roots[one.table]
                expected[root] = expected.get(root, Rows()) + rows_of(one)
        known = {*expected, *self._touched}
        with self._or_left_out("what its triggers and functions wrote"):
            now = written(self._sending)
            since = now.since(self._start)
            beside = sorted(now.names[number] for number in since.keys() - known)
            if any(one.what in COUNTED for one in kept):  # others lock what refers to them, or is referred to
                beside += now.locked_since(self._start, known)
            self.left_out += (f"{name} was written too, by a trigger or a function." for name in beside)
            return frozenset(root for root, rows in expected.items() if since.get(root, Rows()) == rows)
        return frozenset()

    def _expect(self, shape: Shape) -> None:
        """Rows are about to be put in: which, is told afterwards by who wrote them last. Note who did so before."""
        _refuse(shape)
        if not shape.key:
            raise NotCopiedError("it has no primary key, by which what is inserted could be found again")
        self._check_size(shape.bytes)  # it is read whole
        ours = sql.SQL("SELECT {} FROM {} AS {} WHERE {}").format(
            listed(shape.named(shape.key)), shape.identifier, ROW, OURS
        )
        table, rows, _ = self._create(ours, f"what was written into {shape}")
        if not rows:
            self._run(sql.SQL("DROP TABLE {}").format(place_of(table)))
        self._expected = (shape, table if rows else "")

    def _inserted(self, shape: Shape, before: str, changed: int | None) -> None:
        keys, names = shape.named(shape.key), tuple(one.name for one in shape.columns)
        after = free_name(shape.columns)
        query = sql.SQL("SELECT {}, {} AS {} FROM {} AS {} WHERE {}").format(
            listed(keys), hash_of(ROW, names), sql.Identifier(after), shape.identifier, ROW, OURS
        )
        if before:
            same = sql.SQL(" AND ").join(
                sql.SQL("{} = {}.{}").format(one.kept(ROW), COPY, sql.Identifier(one.name)) for one in keys
            )
            query += sql.SQL(" AND NOT EXISTS (SELECT FROM {} AS {} WHERE {})").format(place_of(before), COPY, same)
        with self._sending.plainly():
            kept = self._keep(shape, What.INSERTED, keys, query, sets=names)
        self.kept[-1] = replace(kept, after=after)
        if changed is not None and changed != kept.rows:
            raise NotCopiedError("other rows were written than it inserted itself")
        if before:
            self._run(sql.SQL("DROP TABLE {}").format(place_of(before)))

    def keep_schema(self, archive: bytes, version: str) -> None:
        """Keep the definitions of everything, as they were before the file of this version."""
        with self._or_left_out("the schema's definitions"):
            table = self._create(sql.SQL("SELECT {}::bytea AS archive").format(sql.Literal(archive)), "the schema")[0]
            self.kept.append(self._record("schema", table, bytes=len(archive), version=version))

    def _whole(self, shape: Shape) -> None:
        if self._is_new(shape, What.TABLE, ()):
            self._check_size(shape.bytes)
            kept = self._take(shape, What.TABLE, shape.columns, shape.identifier, sql.SQL(""))
            self._ranks[kept.table] = -len(referring_to(self._connection, shape.oid))

    def _columns(self, shape: Shape, names: tuple[str, ...]) -> None:
        dropped = shape.named(names)
        if not self._is_new(shape, What.COLUMN, names) or not dropped:
            return  # told by the tree and by the rehearsal, or computed: then there is nothing to lose
        if not shape.key:
            raise NotCopiedError("it has no primary key, by which a row could be found again")
        if set(shape.key) & set(names):
            raise NotCopiedError("the column is part of its key")
        columns = shape.named((*shape.key, *names))
        present = sql.SQL(" OR ").join(
            sql.SQL("{}.{} IS NOT NULL").format(ROW, sql.Identifier(one.name)) for one in dropped
        )
        # With a default, a row that held nothing would hold that when the column is made again.
        where = sql.SQL("") if any(one.has_default for one in dropped) else sql.SQL("WHERE {}").format(present)
        self._take(shape, What.COLUMN, columns, shape.identifier, where, sets=names)

    def _rows(self, shape: Shape, touch: Touch) -> None:
        volatile = has_volatile(self._connection, touch.calls)
        if volatile:
            raise NotCopiedError(f"each call of {volatile}(), which says which rows, may say or do something else")
        if touch.what is What.UPDATED:
            if not shape.key:
                raise NotCopiedError("it has no primary key, by which a row could be found again")
            if set(shape.key) & set(touch.columns):
                raise NotCopiedError("its key is changed, so that no row could be found again")
            columns = _columns_set(shape, touch.columns)
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
            columns = other.columns if child.deletes else _columns_set(other, child.sets)
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
        self, shape: Shape, what: What, columns: tuple[Column, ...], query: Query, *, sets: tuple[str, ...]
    ) -> Kept:
        _refuse(shape)
        if not all(one.is_plain for one in columns) and not self._sending.reads_back():
            raise NotCopiedError("the session writes dates or numbers so that they may not be read back")
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
        self._roots[table] = root_of(self._sending, shape.oid)
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

    def _estimated(self, query: Query) -> int:
        """So many bytes the server thinks that these are."""
        row = self._run(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(query)).fetchone()
        told = row[0] if row else []
        plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
        return int(plan["Plan Rows"] * (plan["Plan Width"] + 28))

    def _create(self, query: Query, whose: str) -> tuple[str, int, int]:
        """A private table of what the query says; its name, rows and bytes."""
        try:
            make_schema(self._connection)
        except NotOursError as error:
            raise NotCopiedError(str(error)) from None
        where = self._where
        number = where.request.lower().replace("-", "")
        table = f"{number}_{where.version[:30]}_s{where.statement + 1}_{secrets.token_hex(3)}"
        rows = self._run(sql.SQL("CREATE TABLE {} AS {}").format(place_of(table), query)).rowcount
        size = self._sending.number(
            sql.SQL("SELECT pg_catalog.pg_table_size({}::pg_catalog.regclass)").format(
                sql.Literal(f'{UNDO_SCHEMA}."{table}"')
            )
        )
        self._check_size(size)
        shut(self._connection, table)
        said = f"{where.request}, file {where.version}, line {where.line}: {whose} before it. Removed when it is old enough."
        self._run(sql.SQL("COMMENT ON TABLE {} IS {}").format(place_of(table), sql.Literal(said)))
        return table, rows, size

    @contextmanager
    def _or_left_out(self, what: str) -> Iterator[None]:
        """All of it or nothing, and nothing with a sentence that says why."""
        before = list(self.kept)
        try:
            with self._sending.all_or_nothing():
                yield
        except NotCopiedError as error:
            self.kept = before
            self.left_out.append(f"{what} was not copied: {error}.")


def _refuse(shape: Shape) -> None:
    """Raises NotCopiedError for a table of which a copy would not tell enough."""
    if shape.has_heirs:
        raise NotCopiedError(f"other tables inherit from {shape}, and which of them holds a row would be lost")
    if shape.runs_later:
        raise NotCopiedError(f"a trigger of {shape} may run only at the end of the transaction")


def _columns_set(shape: Shape, names: tuple[str, ...]) -> tuple[Column, ...]:
    """What to keep where these are set: all of a table whose triggers may set others too."""
    return shape.columns if shape.triggers else shape.named((*shape.key, *names))
