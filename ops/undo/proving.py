"""A reversal on a copy of the target: run, compared with what was there before, run forward and back again.

Proven means: behind the reversal the schema is, object by object, the one that the request found; what it does not take
away holds the very rows that it held; the files can be applied again, to the schema that is there now; and a second
reversal ends where the first one did, row by row.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg

from ops.amounts import bytes_text
from ops.catalog import catalog_hash
from ops.database import connect
from ops.drift_replay import Unwatched
from ops.drift_replay import schema_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.history import ensure_history
from ops.layer import Ops
from ops.layer import Progress
from ops.migration import Migration
from ops.rehearsal.copy import COPY_LIMITS
from ops.rehearsal.copy import Copy
from ops.rehearsal.copy import open_copy
from ops.rehearsal.covering import covering
from ops.rehearsal.files import Looking
from ops.rehearsal.files import run_files
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import Rehearsal
from ops.rehearsing import Tried
from ops.schema.model import Schema
from ops.undo.base import Base
from ops.undo.base import cache_of
from ops.undo.base import differing
from ops.undo.contents import Columns
from ops.undo.contents import Lost
from ops.undo.contents import Rows
from ops.undo.contents import Table
from ops.undo.contents import common
from ops.undo.contents import keys_of
from ops.undo.contents import lost_between
from ops.undo.contents import named
from ops.undo.contents import read_columns
from ops.undo.contents import read_rows
from ops.undo.moved import moved_tables
from ops.undo.past import Past
from ops.undo.told_names import Names
from ops.undo.told_names import names_in
from ops.undo.trying import NotShownError
from ops.undo.trying import Trying
from ops.undo.trying import watched

MOST_BYTES = 512 * 2**20
"""A larger database is copied without its rows, unless its environment says `with_data`."""

_NAMED = 5


class NotProvenError(NotShownError):
    """A reversal is not offered; the sentence says why."""


@dataclass(frozen=True)
class Moment:
    """What a copy is like at one moment. `keyed` are its rows by their keys, `plain` without; None on one without rows."""

    catalog_sha256: str
    schema: Schema
    columns: Columns
    keyed: Mapping[Table, Rows] | None
    plain: Mapping[Table, Rows] | None


@dataclass(frozen=True)
class Shown:
    """What a copy showed of a reversal that is proven.

    `lost` are tables and columns that it takes away, `columns` what the target's are like now; `comes_back` are those
    that the files took away and it brings back. `changed` are tables whose kept rows are others afterwards. `expected` are
    the catalog hashes behind each script, None where the copy is not exactly like the target. `tried` is what each
    statement did there, `proof` sentences.
    """

    lost: Lost
    columns: Columns
    before: Columns
    comes_back: Lost
    changed: tuple[Table, ...]
    without_rows: str
    expected: tuple[str, ...] | None
    tried: Tried
    proof: tuple[str, ...] = field(default=())


OnCopy = Callable[[Copy, bool], tuple[str, ...]]
"""Given the copy, and whether it has the target's rows; what it returns are sentences for the proof."""


def _nothing_more(_copy: Copy, _with_rows: bool) -> tuple[str, ...]:
    return ()


def prove(
    ops: Ops,
    past: Past,
    scripts: Sequence[Migration],
    base: Callable[[], Base],
    progress: Progress,
    *,
    prepare: OnCopy = _nothing_more,
    check: OnCopy = _nothing_more,
    rows_again: bool = True,
    again: Sequence[Migration] = (),
    commit: str = "",
) -> Shown:
    """What the scripts do on a copy of the target as it is now. Reads the target, changes nothing there.

    `base` is asked for the earlier schema where no hash of it can be compared. `prepare` is called before anything runs on
    the copy, `check` behind the first reversal. Without `rows_again` the second reversal need not end in the same rows, since
    what somebody wrote meanwhile is left alone by the first one. `again` are the scripts for that, and for a copy without
    rows, where they are others: they need not find all that is on the target. `commit`: of the scripts, where it is not the
    request's. Raises NotProvenError, so where they raise it, and OpsError where no copy can be made.
    """
    with_rows, without_rows = _rows_wanted(past)
    proving = _Proving(ops, past, scripts, base, progress, prepare, check, rows_again, again or scripts, commit)
    if with_rows:
        try:
            return proving.run(with_rows=True, without_rows="")
        except OpsError as error:
            if error.reason is not Reason.NOT_ALLOWED:  # too little memory for its rows
                raise
            without_rows = error.message
    return proving.run(with_rows=False, without_rows=without_rows)


def _rows_wanted(past: Past) -> tuple[bool, str]:
    if past.target.settings.with_data:
        return True, ""
    with closing(connect(past.target.database_url(), purpose=f"look at {past.target.name}")) as connection:
        row = connection.execute("SELECT pg_catalog.pg_database_size(pg_catalog.current_database())").fetchone()
    size = int(row[0]) if row else 0
    if size <= MOST_BYTES:
        return True, ""
    return False, f"The copy had no rows, since all of them are {bytes_text(size)}."


@dataclass(frozen=True)
class _Proving:
    ops: Ops
    past: Past
    scripts: Sequence[Migration]
    base: Callable[[], Base]
    progress: Progress
    prepare: OnCopy
    check: OnCopy
    rows_again: bool
    again: Sequence[Migration]
    commit: str

    def run(self, *, with_rows: bool, without_rows: str) -> Shown:
        past = self.past
        commit = self.commit or past.request.commit
        shown_by = self.scripts if with_rows else self.again
        trying = Trying(self.ops, past.target, past.actor, commit, self.scripts, shown_by, with_rows)
        found, tried = trying.do(lambda: self._copied(with_rows, without_rows))
        return found(tried)

    def _copied(self, with_rows: bool, without_rows: str) -> tuple[Callable[[Tried], Shown], Rehearsal]:
        target = self.past.target
        folder = target.all_settings.postgres.encrypted_folder
        self.progress("copying the schema and the rows" if with_rows else "copying the schema")
        with open_copy(
            target.database_url(),
            tools_bin=target.all_settings.postgres.bin,
            with_data=with_rows,
            data_folder=target.all_settings.path(Path(folder)) if folder else None,
            cache=cache_of(self.ops),
            limits=None if with_rows else COPY_LIMITS,
            demand=target.settings.isolation,
            progress=self.progress,
            stop=self.ops.rehearsals.is_over,
        ) as copy:
            with closing(copy.connect()) as connection:
                ensure_history(connection)
            try:
                return self._on(copy, with_rows, without_rows)
            except psycopg.Error as error:
                said = f"The copy could not be looked at (SQLSTATE {error.sqlstate or 'unknown'})."
                raise NotProvenError(said) from None

    def _on(self, copy: Copy, with_rows: bool, without_rows: str) -> tuple[Callable[[Tried], Shown], Rehearsal]:
        prepared = self.prepare(copy, with_rows)
        now = _look(copy, with_rows)
        self.progress("taking it back on the copy")
        scripts = self.scripts if with_rows else self.again
        words = "on the copy the reversal failed"
        ran, rehearsal = watched(
            copy,
            self.past.target,
            with_rows=with_rows,
            run=lambda tracer: self._run(copy, now, scripts, words, tracer),
        )
        reversed_once = _look(copy, with_rows, now.columns)
        same = self._check_schema(copy, now, reversed_once)
        checked = self.check(copy, with_rows)
        changed = tuple(table for table, is_same in _compared(now, reversed_once) if not is_same)
        round_trip = self._round(copy, now, reversed_once)
        shown = partial(
            Shown,
            lost=lost_between(now.columns, reversed_once.columns),
            columns=now.columns,
            before=reversed_once.columns,
            comes_back=lost_between(reversed_once.columns, now.columns),
            changed=changed,
            without_rows=without_rows,
            expected=tuple(one.catalog_sha256 or "" for one in ran) if copy.is_exact else None,
            proof=(
                same,
                *_kept_words(now, reversed_once),
                *prepared,
                *checked,
                round_trip,
                *self._about(copy, without_rows),
            ),
        )
        return lambda tried: shown(tried=tried), rehearsal

    def _run(
        self, copy: Copy, now: Moment, files: Sequence[Migration], words: str, tracer: Looking | None = None
    ) -> tuple[FileFacts, ...]:
        ran = run_files(
            copy,
            tracer or Unwatched(),
            files,
            limits=COPY_LIMITS,
            covering=covering(files, now.schema) if now.plain is not None else None,
            progress=self.progress,
            stop=self.ops.rehearsals.is_over,
        )
        failed = next((one for one in ran if one.outcome != "passed"), None)
        if failed is not None:
            error = failed.error or {}
            line = f", line {error['line']}" if error.get("line") else ""
            said = str(error.get("message") or "it did not run").rstrip(".")
            said = names_in((*self.scripts, *self.past.files), now.schema).covered(said)
            raise NotProvenError(f"{words[0].upper()}{words[1:]}: {failed.filename}{line}: {said}.")
        return ran

    def _check_schema(self, copy: Copy, now: Moment, back: Moment) -> str:
        """That the schema is the earlier one; in which words. Raises NotProvenError where it is not, or nobody can say."""
        past = self.past
        if copy.is_exact and past.is_as_left and back.catalog_sha256 == past.base_sha256:
            return (
                f"Behind it the copy's schema has the very hash that {past.request.id} found before its first file "
                f"({past.base_sha256[:16]})."
            )
        base = self._base()
        if not past.is_as_left and (base.after is None or past.half is not None):
            raise NotProvenError(
                f"The schema was changed otherwise since {past.request.id}, and nothing tells that from what it made."
            )
        names = names_in((*self.scripts, *past.files), now.schema, base.before, base.after)
        changed_since = differing(now.schema, base.after) if base.after and past.half is None else frozenset()
        left = differing(back.schema, base.before) - changed_since
        if left:
            raise NotProvenError(
                f"Behind it the schema is not what it was before {past.request.id}: {names.some(left)}."
            )
        touched = changed_since & differing(now.schema, back.schema)
        if touched:
            raise NotProvenError(f"It would change what somebody else has changed since: {names.some(touched)}.")
        if copy.is_exact and past.is_as_left:
            with closing(copy.connect()) as connection:
                moved = moved_tables(connection, now.schema, back.schema, base.before, past.base_sha256)
            if moved:
                return (
                    f"Behind it the copy's schema is that before {past.request.id}, but for the order of columns: what "
                    f"comes back stands last in {', '.join(moved)}. With the columns in their old order it has the very hash "
                    f"that {past.request.id} found ({past.base_sha256[:16]})."
                )
            raise NotProvenError(
                f"Behind it the schema has another hash than before {past.request.id}, and no object says why."
            )
        stays = f" What was changed otherwise since stays: {names.some(changed_since)}." if changed_since else ""
        return (
            f"Behind it the copy's schema is, object by object, that before {past.request.id}, by {base.source}.{stays}"
        )

    def _base(self) -> Base:
        try:
            return self.base()
        except OpsError as error:
            if error.reason is not Reason.HISTORY_NOT_REPLAYED:
                raise
            message = f"Behind it the schema is not known to be that before {self.past.request.id}. {error.message}"
            raise NotProvenError(message) from None

    def _round(self, copy: Copy, now: Moment, once: Moment) -> str:
        """That applying and reversing again leads back to where it began, in schema and rows; in words."""
        self.progress("applying it again on the copy")
        self._run(copy, now, self.past.files, "behind it the files could not be applied again")
        if self.past.half is not None:  # what ran of it in part cannot be run in part again
            return "Its whole files could be applied again there; the one that ran in part was not tried."
        others = differing(now.schema, _look(copy, with_rows=False).schema)
        names = names_in((*self.scripts, *self.past.files), now.schema, once.schema)
        if others:
            raise NotProvenError(f"Applied again behind it, the files make something else: {names.some(others)}.")
        self.progress("taking it back once more on the copy")
        self._run(copy, now, self.again, "a second time the reversal failed")
        with_rows = once.plain is not None and self.rows_again
        once = once if with_rows else replace(once, keyed=None, plain=None)
        _check_same(names, once, _look(copy, with_rows, now.columns))
        rows = "" if not with_rows else " and the same rows, by their hashes"
        return (
            "Its files were applied again there, which made the schema of now, and taken back once more, which led to the "
            f"same schema{rows}."
        )

    def _about(self, copy: Copy, without_rows: str) -> list[str]:
        found = [without_rows] if without_rows else []
        if not copy.is_exact and copy.inexact_because:
            found.append(f"The copy is not exactly like the target: {copy.inexact_because}")
        return [*found, *copy.notes]


def _look(copy: Copy, with_rows: bool, first: Columns | None = None) -> Moment:
    """The copy as it is; `first`: the columns at the first moment, whose keys tell the rows apart."""
    with closing(copy.ask()) as ask:
        columns = read_columns(ask)
    keyed = plain = None
    with closing(copy.connect()) as connection:
        catalog_sha256 = catalog_hash(connection)
        if with_rows:
            keyed = read_rows(connection, columns, keys_of(first or columns, columns))
            plain = read_rows(connection, columns, {})
    return Moment(catalog_sha256, schema_of(copy), columns, keyed, plain)


def _compared(now: Moment, back: Moment) -> Iterator[tuple[Table, bool]]:
    """The tables that are on both sides and may be read, and whether what stays of them held the same."""
    for table, columns in common(now.columns, back.columns).items():
        sides = [one.get(table) for one in (now.keyed or {}, back.keyed or {}, now.plain or {}, back.plain or {})]
        keyed, keyed_back, plain, plain_back = sides
        if keyed and keyed_back and keyed.keys == keyed_back.keys:
            yield table, keyed.is_same(keyed_back, columns)
        elif plain and plain_back:
            yield table, plain.is_same(plain_back, columns)


def _kept_words(now: Moment, back: Moment) -> list[str]:
    """That what stays holds what it held, as far as it does and could be looked at."""
    if back.plain is None:
        return []
    found = dict(_compared(now, back))
    kept = [table for table, is_same in found.items() if is_same]
    count = sum(back.plain[table].count for table in kept)
    rows = f"{count:,} row{'' if count == 1 else 's'}"
    tables = f"{len(kept)} table{'' if len(kept) == 1 else 's'}"
    said = [f"What stays of {tables} held the same before and after it, by hashes of {rows}."] if kept else []
    unread = sorted(named(table) for table in common(now.columns, back.columns) if table not in found)
    if unread:
        said.append(f"Not compared, since not all of their rows may be read: {', '.join(unread[:_NAMED])}.")
    return said


def _check_same(names: Names, once: Moment, twice: Moment) -> None:
    """Raises NotProvenError unless both times the same was reached."""
    others = differing(once.schema, twice.schema)
    if others:
        raise NotProvenError(f"Applied and taken back once more, the schema is another one: {names.some(others)}.")
    both = ((once.keyed, twice.keyed), (once.plain, twice.plain))
    differ = {table for one, other in both for table, rows in (one or {}).items() if (other or {}).get(table) != rows}
    if differ:
        tables = ", ".join(sorted(map(named, differ))[:_NAMED])
        raise NotProvenError(f"Applied and taken back once more, rows are not what they were: {tables}.")
