"""An error of the server as people read it: what, where in the file, and nothing of the rows that it happened to."""

import re
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

import psycopg

from ops.blockers import query_shape
from ops.errors import OpsError
from ops.errors import Reason
from ops.masking import mask
from ops.masking import mask_sql
from ops.migrations import Migration

MASKED = "«masked»"

_EXCERPT_LETTERS = 160
_STATEMENT_LETTERS = 2000
_SAID_LETTERS = 2000
_EDGE_LETTERS = 600
_RAISED_BY = "exec_stmt_raise"  # the server's function for RAISE, which may claim any SQLSTATE


@dataclass(frozen=True)
class SqlError:
    """What the server said about one statement of a file. Row values and secrets are masked in every field, and none
    is longer than 2,000 letters.

    `line` and `column` count from 1 in the file. Where the server did not say a place, `column` is 0 and the caret
    stands under the statement's beginning; where masking moved the place there is none. `statement` is the text (at
    most 2,000 letters), empty when none of the file's ran.
    """

    sqlstate: str
    message: str
    hint: str
    detail: str
    context: str
    filename: str
    line: int
    column: int
    statement: str
    caret: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        where = f"{self.filename}, line {self.line}" if self.line else self.filename
        return f"{where}: {self.message.rstrip('.')} (SQLSTATE {self.sqlstate or 'unknown'})."


def describe(
    error: psycopg.Error, migration: Migration, statement_index: int | None, characters_before: int = 0
) -> SqlError:
    """The error of one statement, by its index in the file; None: it was one of ours (lock, history row, commit).

    `characters_before`: of the message in which the statement was sent, where it was not sent by itself.
    """
    diagnostic = error.diag
    line, column, text, caret = 0, 0, "", ""
    if statement_index is not None:
        text = migration.statements[statement_index].text
        line, column, caret = _place(migration, statement_index, _position(error, characters_before))
    return SqlError(
        sqlstate=error.sqlstate or "",
        message=_mask_message(*_beginning(diagnostic.message_primary or str(error)), error.sqlstate or ""),
        hint=_fitting(mask(_beginning(diagnostic.message_hint or "")[0])),
        detail=mask_detail(diagnostic.message_detail or "", error.sqlstate or ""),
        context=_fitting(_mask_context(_beginning(diagnostic.context or "")[0])),
        filename=migration.filename,
        line=line,
        column=column,
        statement=_shortened(mask_sql(text), _STATEMENT_LETTERS),
        caret=caret,
    )


def is_raised(error: psycopg.Error) -> bool:
    """Whether a file's own RAISE made the error, whatever SQLSTATE it claims."""
    return (error.sqlstate or "").startswith("P0") or error.diag.source_function == _RAISED_BY


def outcome_unknown(migration: Migration, doing: str) -> OpsError:
    """The connection ended while something ran that the server may have carried on with. Never tried again."""
    return OpsError(
        Reason.OUTCOME_UNKNOWN,
        f"{migration.filename}: the connection was lost while {doing}; whether the target did it is unknown.",
        "Look at the target before anything else runs there.",
        exit_code=1,
    )


_COMMENT = re.compile(r"\s*(--|$)")
_KEY_VALUES = re.compile(r"\)=\(.*\)(?= |\.|$)", re.DOTALL)
_ROW_VALUES = re.compile(r"(contains |row )\(.*\)", re.DOTALL)
# Where the text was cut, nobody knows where the values end.
_OPEN_VALUES = re.compile(r"""(\)=\(|contains \(|row \(|[:=] (?=["'])).*""", re.DOTALL)
_QUOTED_VALUE = re.compile(r"""(?<=[:=] )["'].*["']|"[^"\n]*@[^"\n]*\"""", re.DOTALL)


# Their DETAIL is free text that quotes a document, or what somebody's RAISE put together.
_FREE_DETAIL = ("P0", "2200L", "2200M", "2200N", "2200S", "2200T")


def mask_detail(detail: str, sqlstate: str = "") -> str:
    """A DETAIL line without the values of rows: `Key (email)=(«masked»)`, `Failing row contains («masked»).`"""
    if detail and sqlstate.startswith(_FREE_DETAIL):
        return MASKED
    detail, is_cut = _beginning(detail)
    if is_cut:
        detail = _OPEN_VALUES.sub(rf"\1{MASKED}", detail)
    if sqlstate.startswith("22"):  # Token "…" is invalid.
        detail = re.sub(r'".*?(?:"|\Z)', MASKED, detail, flags=re.DOTALL)
    text = _KEY_VALUES.sub(f")=({MASKED})", detail)
    text = _ROW_VALUES.sub(rf"\1({MASKED})", text)
    return _fitting(mask(_QUOTED_VALUE.sub(MASKED, text)))


def _mask_message(message: str, is_cut: bool, sqlstate: str) -> str:
    # Class 22 (data exceptions) quotes the value at the end: invalid input syntax for type integer: "4111…".
    if sqlstate.startswith("22") or " in tsquery: " in message:
        end = "" if is_cut else '"'
        message = re.sub(rf'(: |= |value )".*{end}', rf"\1{MASKED}", message, flags=re.DOTALL)
    return _fitting(mask(message))


def _beginning(text: str) -> tuple[str, bool]:
    """What is read of a text, which may have millions of letters, and whether that is not all.

    The word at the cut goes too, since half a secret is not known as one.
    """
    if len(text) < _SAID_LETTERS:
        return text, False
    found = text[: _SAID_LETTERS - 1]
    edge = max(found.rfind(space) for space in " \t\n")
    return (found[:edge] if edge > _SAID_LETTERS - _EDGE_LETTERS else found) + "…", True


def _fitting(text: str) -> str:
    """Masking may have made it longer."""
    return _shortened(text, _SAID_LETTERS)


def _mask_context(context: str) -> str:
    lines = []
    for line in context.splitlines():
        if line.startswith("JSON data, line "):  # JSON data, line 1: {"card": 4111…
            lines.append(f"{line.partition(':')[0]}: {MASKED}")
        elif line.startswith("COPY "):  # COPY people, line 3, column email: "ana@…"
            lines.append(re.sub(r': ".*', f": {MASKED}", line))
        else:
            lines.append(mask(query_shape(line.replace('"', " "))))
    return "\n".join(line for line in lines if line)


def _position(error: psycopg.Error, characters_before: int) -> int | None:
    """Where in the statement, in characters from 0; None when the server pointed nowhere in it."""
    given = error.diag.statement_position
    return int(given) - 1 - characters_before if given and given.isdigit() else None


def _place(migration: Migration, index: int, position: int | None) -> tuple[int, int, str]:
    """Line and column in the file, and the excerpt with its pointer."""
    statement = migration.statements[index]
    if position is None:
        lines = mask_sql(statement.text).split("\n")
        number = next((n for n, line in enumerate(lines) if not _COMMENT.match(line)), 0)
        if len(lines) > (place := statement.word_line - statement.line) > number:  # behind a comment of several lines
            number = place
        begin = len(lines[number]) - len(lines[number].lstrip())
        return statement.line + number, 0, _excerpt(statement.line + number, lines[number], begin)
    before = statement.text[:position]
    line = statement.line + before.count("\n")
    begin = before.rfind("\n") + 1
    # The first line of a statement may begin in the middle of a line of the file.
    indent = _column_of(migration.text, statement.offset) if begin == 0 else 0
    in_line = position - begin
    original = statement.text[begin:].split("\n", 1)[0]
    masked = mask_sql(statement.text).split("\n")
    # Masking may take lines away with what stood in them; then none is shown rather than the wrong one.
    shown = masked[before.count("\n")] if len(masked) == statement.text.count("\n") + 1 else ""
    if shown != original:  # something was cut out of this line, so that the place in it means nothing any more
        return line, 0, _excerpt(line, shown, None)
    return line, indent + in_line + 1, _excerpt(line, original, in_line)


def _column_of(text: str, offset: int) -> int:
    return offset - (text.rfind("\n", 0, offset) + 1)


def _excerpt(line: int, text: str, place: int | None) -> str:
    """One line as a compiler shows it, with a caret under `place`; long lines are cut around it."""
    text = text.rstrip("\r")
    if place is not None and place > _EXCERPT_LETTERS // 2:
        cut = place - _EXCERPT_LETTERS // 2
        text, place = "…" + text[cut + 1 :], place - cut
    text = _shortened(text, _EXCERPT_LETTERS)
    margin = f"{line} | "
    if place is None:
        return margin + text
    # Tabs stay tabs, so that the caret stands right whatever their width is.
    under = re.sub(r"[^\t]", " ", text[:place])
    return f"{margin}{text}\n{' ' * (len(margin) - 2)}| {under}^"


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
