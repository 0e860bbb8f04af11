"""Why a migration cannot be run as it stands: what would be lost, left half done, or mean something else.

Every function here decides on values and returns refusals; none of them touches a database.
"""

import re
from collections.abc import Iterable
from collections.abc import Iterator

from pglast import ast
from pglast.enums import TransactionStmtKind as Kind

from ops import bodies
from ops import grammar
from ops.migration import Refusal

_OPENS = (Kind.TRANS_STMT_BEGIN, Kind.TRANS_STMT_START)
_EDGES = {
    *_OPENS,
    Kind.TRANS_STMT_COMMIT,
    Kind.TRANS_STMT_ROLLBACK,
    Kind.TRANS_STMT_PREPARE,
    Kind.TRANS_STMT_COMMIT_PREPARED,
    Kind.TRANS_STMT_ROLLBACK_PREPARED,
}


def line_at(text: str, offset: int) -> int:
    """The line, from 1, of a character."""
    return text.count("\n", 0, offset) + 1


def bytes_that_are_not_sql(content: bytes) -> list[Refusal]:
    """Postgres takes neither; the Supabase CLI would send the file mangled."""
    hint = "Save the file as UTF-8 without NUL characters."
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return [Refusal("utf16", 1, "The file is UTF-16, which Postgres cannot read.", hint)]
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [Refusal("not_utf8", line, f"Line {line} is not valid UTF-8.", hint)]
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        return [Refusal("nul_byte", line, f"Line {line} holds a NUL byte, which Postgres cannot store.", hint)]
    return []


def same_version(version: str, first: str) -> Refusal:
    """For the second of two files with one version."""
    return Refusal(
        "same_version",
        1,
        f"Version {version} is taken by {first} already; the history holds one row per version.",
        "Give one of the two files a version of its own.",
    )


def cut_off(line: int, unfinished: str) -> Refusal:
    """For a statement that ends before it is complete. `unfinished`: what is still open, or empty."""
    inside = f" inside a {unfinished}" if unfinished else ""
    return Refusal(
        "cut_off",
        line,
        f"The statement on line {line} ends{inside} before it is complete.",
        "Close what is open; the file may have been cut off.",
    )


def too_deep(line: int) -> Refusal:
    """For a statement that nobody could judge."""
    return Refusal(
        "too_deep",
        line,
        f"The statement on line {line} is nested too deep to be read.",
        "Write it as several statements, or with a list in place of a chain of operators.",
    )


def is_block_edge(node: ast.TransactionStmt) -> bool:
    """BEGIN, COMMIT and their kin; not SAVEPOINT, RELEASE or ROLLBACK TO, which stay inside a transaction."""
    return node.kind in _EDGES


class Blocks:
    """Follows BEGIN … COMMIT through a file, statement by statement, and collects what is wrong with them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._opened_on = 0  # the line of the open BEGIN; 0 outside
        self._refusals: list[Refusal] = []

    @property
    def is_open(self) -> bool:
        """A BEGIN has been taken and not yet its COMMIT."""
        return self._opened_on > 0

    def take(self, tree: grammar.Tree | None) -> None:
        """The next statement; None for comments and what could not be read."""
        if tree is None:
            return
        if not isinstance(tree.node, ast.TransactionStmt):
            if self.is_open and grammar.must_stand_alone(tree.node):
                self._refuse("not_in_block", tree, "cannot run between BEGIN and COMMIT", "Put it behind COMMIT.")
        elif tree.node.kind in _OPENS:
            self._open(tree)
        elif tree.node.kind == Kind.TRANS_STMT_COMMIT:
            self._commit(tree)
        elif is_block_edge(tree.node):
            self._roll_back(tree)

    def refusals(self) -> list[Refusal]:
        """All that was found, the BEGIN that is still open included."""
        if not self.is_open:
            return list(self._refusals)
        left_open = Refusal(
            "begin_without_commit",
            self._opened_on,
            f"BEGIN on line {self._opened_on} has no COMMIT; all that follows would be lost.",
            "Add COMMIT, or leave BEGIN out: the file runs in one transaction by itself.",
        )
        return [*self._refusals, left_open]

    def _open(self, tree: grammar.Tree) -> None:
        if self.is_open:
            what = f"begins a transaction inside the one of line {self._opened_on}"
            self._refuse("begin_again", tree, what, "Leave the second BEGIN out.")
        elif tree.node.options:
            what = "begins a transaction with options, which the run does not set"
            self._refuse("transaction_options", tree, what, "Use a plain BEGIN.")
        self._opened_on = self._opened_on or line_at(self._text, tree.start)

    def _commit(self, tree: grammar.Tree) -> None:
        if not self.is_open:
            hint = "Add the BEGIN that belongs to it, or leave COMMIT out."
            self._refuse("commit_without_begin", tree, "is a COMMIT without a BEGIN", hint)
        elif tree.node.chain:
            hint = "Write COMMIT and a new BEGIN."
            self._refuse("transaction_options", tree, "is COMMIT AND CHAIN, which the run does not follow", hint)
        self._opened_on = 0

    def _roll_back(self, tree: grammar.Tree) -> None:
        if tree.node.kind == Kind.TRANS_STMT_ROLLBACK:
            what = "rolls back, so the file would count as applied without its changes"
            self._refuse("rollback", tree, what, "Leave ROLLBACK out; an error rolls back by itself.")
        else:
            what = "prepares or ends a two-phase transaction, which would hold its locks beyond the run"
            self._refuse("prepare_transaction", tree, what, "Use BEGIN and COMMIT.")
        self._opened_on = 0

    def _refuse(self, code: str, tree: grammar.Tree, what: str, hint: str) -> None:
        line = line_at(self._text, tree.start)
        self._refusals.append(Refusal(code, line, f"The statement on line {line} {what}.", hint))


def statements_that_need_psql(
    trees: Iterable[grammar.Tree], backslashes: Iterable[int], text: str
) -> Iterator[Refusal]:
    """COPY through the client, and the first backslash line outside it."""
    first_copy = len(text)
    for tree in trees:
        if isinstance(tree.node, ast.CopyStmt) and tree.node.filename is None:
            first_copy = min(first_copy, tree.start)
            line, way = line_at(text, tree.start), "FROM stdin" if tree.node.is_from else "TO stdout"
            yield Refusal(
                "copy_stdin" if tree.node.is_from else "copy_stdout",
                line,
                f"COPY … {way} on line {line} needs psql, which carries the rows.",
                "Write the rows as INSERT statements, or load them outside the migration.",
            )
    for offset in backslashes:
        if offset < first_copy:  # behind it, the rows have backslashes of their own
            line = line_at(text, offset)
            word = re.compile(r"\\[a-z!?]*").match(text, offset)
            yield Refusal(
                "psql_line",
                line,
                f"Line {line} has {word.group() if word else 'a backslash'} outside quotes, which only psql reads.",
                "Take psql's lines out; the database is sent SQL alone.",
            )
            return


def blocks_that_commit(trees: Iterable[grammar.Tree], text: str) -> Iterator[Refusal]:
    """DO blocks with COMMIT or ROLLBACK in them: part of the file would stay when the rest fails."""
    for tree in trees:
        body = bodies.body_of(tree.node, text, tree.base) if isinstance(tree.node, ast.DoStmt) else None
        for place in bodies.commits(body)[:1] if body else ():
            line = line_at(text, place)
            yield Refusal(
                "commit_in_do",
                line,
                f"The DO block commits or rolls back on line {line}, so the file could stop half done.",
                "Split the work into migrations of their own, or leave the transaction statement out.",
            )


def calls_that_commit(trees: Iterable[grammar.Tree], text: str, committing: set[str]) -> Iterator[Refusal]:
    """CALLs of procedures that commit. `committing` holds their names so far, and is brought up to date."""
    for tree in trees:
        node = tree.node
        if isinstance(node, ast.CreateFunctionStmt) and node.is_procedure:
            body = bodies.body_of(node, text, tree.base)
            name = grammar.names(node.funcname)[-1]
            (committing.add if body and bodies.commits(body) else committing.discard)(name)
        elif isinstance(node, ast.CallStmt) and _called(node) in committing:
            line = line_at(text, tree.start)
            yield Refusal(
                "call_commits",
                line,
                f"The procedure called on line {line} commits inside, so the file could stop half done.",
                "Call it outside a migration, or take the COMMIT out of the procedure.",
            )


def _called(node: ast.CallStmt) -> str:
    return grammar.names(node.funccall.funcname)[-1] if node.funccall else ""
