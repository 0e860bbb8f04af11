"""Reading a folder of migration files: which files count, in what order, what they hold, what may not be run.

Files are read as the Supabase CLI 3.1.0 reads them, so that both write the same history rows. Where the CLI's cut
differs from what Postgres itself reads, Postgres' reading is kept and the migration's notes say so.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from types import MappingProxyType

from pglast import ast

from ops import grammar
from ops import refusing
from ops import splitting
from ops.batches import mark_refusals
from ops.migration import FILE_NAME
from ops.migration import REVERSE
from ops.migration import Folder
from ops.migration import Migration
from ops.migration import Refusal
from ops.migration import Segment
from ops.migration import Skipped
from ops.migration import Statement
from ops.migration import batches_of
from ops.migration import unread_migration

__all__ = ["Folder", "Migration", "Refusal", "Segment", "Skipped", "Statement", "read_folder", "read_migration"]

_OLD_INIT = re.compile(r"([0-9]{14})_init\.sql")
_OLD_INIT_BEFORE = "20211209000000"
_EVERY_STATEMENT_ALONE = "-- pg-delta: transaction=false"
_WOULD_RUN_FIRST = (
    "it takes {taken_back} back. The Supabase CLI takes it for a migration and would run it before {taken_back}: "
    "move it to supabase/rollbacks"
)
# How many pieces the CLI may have cut one statement into before it is given up as unreadable.
_MOST_JOINED = 64


def read_folder(files: Mapping[str, bytes], unread: Mapping[str, str] = MappingProxyType({})) -> Folder:
    """Every migration of a folder. Keys are file names inside `supabase/migrations`. Reads nothing from disk.

    `unread` names files that are known already, with the hash of their statements; no procedure may be made in one.
    """
    found: list[tuple[str, str, str]] = []
    skipped: list[Skipped] = []
    names = {*files, *unread}
    for position, filename in enumerate(sorted(names)):
        matched = FILE_NAME.fullmatch(filename)
        if position == 0 and _is_old_init(filename):
            skipped.append(Skipped(filename, 'an old "init" file in first place; rename it to have it run'))
        elif "/" in filename:
            skipped.append(Skipped(filename, "it is in a folder below supabase/migrations"))
        elif matched is None:
            skipped.append(Skipped(filename, 'the name is not like "20260101000000_name.sql"'))
        elif filename.endswith(REVERSE) and (taken_back := filename.removesuffix(REVERSE) + ".sql") in names:
            skipped.append(Skipped(filename, _WOULD_RUN_FIRST.format(taken_back=taken_back)))
        else:
            found.append((matched[1], filename, matched[2]))
    migrations = [
        read_migration(filename, version, name, files[filename])
        if filename in files
        else unread_migration(filename, version, name, unread[filename])
        for version, filename, name in sorted(found)
    ]
    return Folder(tuple(_judged_together(migrations)), tuple(skipped))


def makes_procedures(migration: Migration) -> bool:
    """Whether what later files may do depends on having read this one."""
    nodes = [statement.tree.node for statement in migration.statements if statement.tree]
    return any(isinstance(node, ast.CreateFunctionStmt) and node.is_procedure for node in nodes)


def _is_old_init(filename: str) -> bool:
    matched = _OLD_INIT.search(filename)
    return matched is not None and matched[1] < _OLD_INIT_BEFORE


def _judged_together(migrations: list[Migration]) -> Iterable[Migration]:
    """Refusals that need more than one file: the same version twice, a call of a procedure that commits."""
    versions: dict[str, str] = {}
    committing: set[str] = set()
    for migration in migrations:
        more: list[Refusal] = []
        if migration.version in versions:
            more.append(refusing.same_version(migration.version, versions[migration.version]))
        versions.setdefault(migration.version, migration.filename)
        trees = [statement.tree for statement in migration.statements if statement.tree]
        more += refusing.calls_that_commit(trees, migration.text, committing)
        yield replace(migration, refusals=_by_line([*migration.refusals, *more])) if more else migration


def _by_line(refusals: Iterable[Refusal]) -> tuple[Refusal, ...]:
    return tuple(sorted(refusals, key=lambda refusal: refusal.line))


def read_migration(filename: str, version: str, name: str, content: bytes) -> Migration:
    """One file, cut, read and judged by itself."""
    unreadable = refusing.bytes_that_are_not_sql(content)
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    taken = splitting.cut(text)
    reading = _Reading() if unreadable else _read(text, taken)
    # In batches nothing is one transaction, no more than where a file asks for none.
    alone = _asks_for_autocommit(text) or batches_of(text) is not None
    segments, refused = _segments(reading.statements, alone, text)
    trees = [statement.tree for statement in reading.statements if statement.tree]
    refused += refusing.statements_that_need_psql(trees, () if unreadable else taken.backslashes, text)
    refused += refusing.blocks_that_commit(trees, text)
    refused += () if unreadable else mark_refusals(text, reading.statements)
    if not unreadable and all(statement.is_comment for statement in reading.statements):
        reading.notes.append("there is nothing in it but comments" if text.strip() else "it is empty")
    return Migration(
        version=version,
        name=name,
        filename=filename,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        text=text,
        statements=tuple(reading.statements),
        segments=segments,
        refusals=_by_line([*unreadable, *refused, *reading.refusals]),
        notes=tuple(reading.notes),
    )


def _asks_for_autocommit(text: str) -> bool:
    return text.split("\n", 1)[0].removesuffix("\r") == _EVERY_STATEMENT_ALONE


# --- statements


@dataclass
class _Reading:
    """What comes of reading a file's statements."""

    statements: list[Statement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def take(self, piece: splitting.Piece, tree: grammar.Tree | None) -> None:
        alone = tree is not None and grammar.must_stand_alone(tree.node)
        self.statements.append(Statement(piece.text, piece.line, piece.offset, alone, tree))

    def take_unread(self, piece: splitting.Piece, fault: grammar.NotReadError, unfinished: str) -> None:
        self.statements.append(Statement(piece.text, piece.line, piece.offset, False, is_unread=True))
        if fault.too_deep:
            self.refusals.append(refusing.too_deep(piece.line))
        elif fault.at_end:
            self.refusals.append(refusing.cut_off(piece.line, unfinished))
        else:
            # An older server's grammar may accept it.
            self.notes.append(f"line {piece.line} is not read by the grammar of PostgreSQL 18: {fault.message}")


def _read(text: str, taken: splitting.Cut) -> _Reading:
    try:
        trees = grammar.read(text)
    except grammar.NotReadError:
        return _read_one_by_one(text, taken)
    reading = _Reading()
    pieces = _pieces_as_postgres_reads(text, taken, trees, reading.notes)
    waiting = list(reversed(trees))
    for piece in pieces:
        holds = bool(waiting) and waiting[-1].start < piece.offset + len(piece.text)
        reading.take(piece, waiting.pop() if holds else None)
    return reading


def _pieces_as_postgres_reads(
    text: str, taken: splitting.Cut, trees: tuple[grammar.Tree, ...], notes: list[str]
) -> tuple[splitting.Piece, ...]:
    """The CLI's pieces, unless it cuts inside a statement or leaves two together; then one piece per statement."""
    ends = {end for end in taken.ends if end == len(text)}
    starts = [tree.start for tree in trees]
    for end in taken.ends:
        before = bisect_right(starts, end - 1) - 1
        if before < 0 or end > trees[before].end:
            ends.add(end)
    ends |= {tree.end + 1 for tree in trees if tree.end < len(text)}
    if ends == set(taken.ends):
        return taken.pieces
    ours = tuple(splitting.pieces_between(text, sorted(ends)))
    known = {(piece.offset, piece.text) for piece in taken.pieces}
    changed = [piece.line for piece in ours if (piece.offset, piece.text) not in known]
    notes.append(_cut_differently(changed))
    return ours


def _cut_differently(lines: list[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:5]) + (" …" if len(lines) > 5 else "")
    return f"the Supabase CLI would cut the statement on line {shown} differently; it is kept as Postgres reads it"


def _read_one_by_one(text: str, taken: splitting.Cut) -> _Reading:
    """For a text that the grammar does not take as a whole: each piece by itself, joined where the CLI cut too much."""
    reading = _Reading()
    pieces, position = taken.pieces, 0
    while position < len(pieces):
        piece = pieces[position]
        trees, fault = _read_piece(piece)
        joined = _joined(text, pieces, position) if fault and fault.at_end else None
        position += joined[2] if joined else 1
        if joined:
            reading.notes.append(_cut_differently([piece.line]))
            reading.take(joined[0], joined[1])
        elif fault:
            reading.take_unread(piece, fault, taken.unfinished if position == len(pieces) else "")
        else:
            reading.take(piece, trees[0] if trees else None)
    return reading


def _read_piece(piece: splitting.Piece) -> tuple[tuple[grammar.Tree, ...], grammar.NotReadError | None]:
    try:
        trees = grammar.read(piece.text)
    except grammar.NotReadError as fault:
        return (), fault
    by = piece.offset
    return tuple(replace(tree, start=tree.start + by, end=tree.end + by, base=tree.base + by) for tree in trees), None


def _joined(
    text: str, pieces: tuple[splitting.Piece, ...], first: int
) -> tuple[splitting.Piece, grammar.Tree, int] | None:
    """The piece at `first` together with as many of the next (their number is last) as make one whole statement."""
    start = pieces[first].offset
    for last in range(first + 1, min(first + _MOST_JOINED, len(pieces))):
        end = pieces[last].offset + len(pieces[last].text)
        piece = splitting.Piece(text[start:end], start, pieces[first].line)
        trees, fault = _read_piece(piece)
        if fault is None and len(trees) == 1:
            return piece, trees[0], last + 1 - first
        if fault is None or not fault.at_end:
            return None
    return None


# --- segments


def _segments(statements: list[Statement], autocommit: bool, text: str) -> tuple[tuple[Segment, ...], list[Refusal]]:
    """Which statements run together. In a file with BEGIN … COMMIT, only those blocks are transactions."""
    blocks = refusing.Blocks(text)
    explicit = autocommit or any(statement.tree and _is_block_edge(statement.tree.node) for statement in statements)
    groups: list[list[int]] = []
    transactional: list[bool] = []
    joins_next = False
    for index, statement in enumerate(statements):
        was_inside = blocks.is_open
        blocks.take(statement.tree)
        together = (was_inside or blocks.is_open) if explicit else not statement.stands_alone
        goes_on = was_inside if explicit else together and bool(groups) and transactional[-1]
        if groups and (statement.is_comment or joins_next or goes_on):
            groups[-1].append(index)
            transactional[-1] = together if joins_next else transactional[-1]
        else:
            groups.append([index])
            transactional.append(together)
        joins_next = statement.is_comment and len(groups[-1]) == 1
    return tuple(Segment(tuple(group), so) for group, so in zip(groups, transactional, strict=True)), blocks.refusals()


def _is_block_edge(node: ast.Node) -> bool:
    return isinstance(node, ast.TransactionStmt) and refusing.is_block_edge(node)
