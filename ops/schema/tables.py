"""CREATE TABLE as pg_dump writes it, taken apart into columns and the rest; and how two of them differ, in words."""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ops.masking import printable
from ops.schema.lexing import Token
from ops.schema.lexing import between
from ops.schema.lexing import cut
from ops.schema.lexing import options
from ops.schema.lexing import statements
from ops.schema.lexing import tokens

_CONSTRAINT_WORDS = frozenset(("CONSTRAINT", "CHECK", "UNIQUE", "PRIMARY", "FOREIGN", "EXCLUDE"))
_COLUMN_CLAUSES = frozenset(("DEFAULT", "GENERATED", "CONSTRAINT", "NOT", "NO", "COLLATE", "OPTIONS"))
_TAIL_CLAUSES = frozenset(("INHERITS", "PARTITION", "WITH", "SERVER", "OPTIONS"))
_LONG = 120  # characters of an expression in a sentence


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `default` and `generated` are expressions, empty where there are none; `text` is all of it."""

    name: str
    type: str
    text: str
    default: str = ""
    generated: str = ""
    not_null: bool = False
    not_null_name: str = ""
    collation: str = ""
    options: str = ""

    def __str__(self) -> str:
        """`email text not null default ''`."""
        parts = [shown(self.name), shown(self.type)]
        parts += [f"collate {shown(self.collation)}"] if self.collation else []
        parts += ["not null"] if self.not_null else []
        parts += [f"default {shown(self.default)}"] if self.default else []
        parts += [f"generated {shown(self.generated)}"] if self.generated else []
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Table:
    """`constraints` by name (a nameless one by its text), `tail` by opening word: WITH, INHERITS, PARTITION…

    `head` is what stands before the columns, `more` are further statements about the table, without its name.
    """

    head: str
    columns: dict[str, Column]
    constraints: dict[str, str] = field(default_factory=dict)
    tail: dict[str, str] = field(default_factory=dict)
    more: tuple[str, ...] = ()


def read_table(definition: str) -> Table | None:
    """The table that a definition makes; None where it is no CREATE TABLE that can be taken apart."""
    all_of_it = statements(definition)
    if not all_of_it:
        return None
    create = all_of_it[0]
    words = tokens(create)
    if len(words) < 3 or words[0].text != "CREATE":
        return None
    opened = next((number for number, token in enumerate(words) if token.name == "ASCII_40"), None)
    head = create if opened is None else create[: words[opened].start].strip()
    elements, behind = ([], len(words)) if opened is None else between(create, words, opened)
    columns: dict[str, Column] = {}
    constraints: dict[str, str] = {}
    more = [_clause(statement) for statement in all_of_it[1:]]
    for element in elements:
        inside = tokens(element)
        if inside and inside[0].text in _CONSTRAINT_WORDS and inside[0].name != "IDENT":
            constraints[inside[1].identifier if inside[0].text == "CONSTRAINT" else element] = element
        elif inside and inside[0].name == "NOT":  # of a column that another table gives it
            more.append(f"ALTER COLUMN {element[inside[-1].start :]} SET NOT NULL")
        elif inside:
            column = _column(element, inside)
            columns[column.name] = column
    tail = dict(cut(create, words[behind:], _TAIL_CLAUSES))
    tail.pop("", None)
    return Table(head, columns, constraints, tail, tuple(sorted(more)))


def _column(element: str, words: Sequence[Token]) -> Column:
    name = words[0].identifier
    found: dict[str, str] = {}
    named = ""
    for opener, body in cut(element, words[1:], _COLUMN_CLAUSES):
        if opener == "CONSTRAINT":
            named = body
        else:
            found[opener] = body
    return Column(
        name,
        found.get("", ""),
        element,
        default=found.get("DEFAULT", ""),
        generated=found.get("GENERATED", ""),
        not_null="NOT" in found,
        not_null_name=named,
        collation=found.get("COLLATE", ""),
        options=found.get("OPTIONS", ""),
    )


def _clause(statement: str) -> str:
    """What a statement says of its table: `FORCE ROW LEVEL SECURITY` of `ALTER TABLE ONLY public.orders FORCE …`."""
    words = tokens(statement)
    number = next((place for place, token in enumerate(words) if token.text == "TABLE"), None)
    if number is None:
        return statement
    number += 2 if number + 1 < len(words) and words[number + 1].text == "ONLY" else 1
    while number + 2 < len(words) and words[number + 1].text == ".":
        number += 2
    return statement[words[number + 1].start :] if number + 1 < len(words) else statement


def table_words(before: Table, after: Table) -> Iterator[str]:
    """How a table changes, in the order of its columns, then the rest."""
    for name, column in after.columns.items():
        if name not in before.columns:
            yield f"adds column {column}"
        elif before.columns[name] != column:
            yield from _column_words(before.columns[name], column)
    for name in before.columns:
        if name not in after.columns:
            yield f"drops column {shown(name)}"
    for name, text in after.constraints.items():
        if name not in before.constraints:
            yield f"adds {shown(text)}"
        elif before.constraints[name] != text:
            yield f"constraint {shown(name)}: {shown(before.constraints[name])} becomes {shown(text)}"
    for name, text in before.constraints.items():
        if name not in after.constraints:
            yield f"drops {shown(text)}"
    yield from _tail_words(before, after)
    yield from more_words(before.more, after.more)
    if before.head != after.head:
        yield f"{shown(before.head)} becomes {shown(after.head)}"


def _column_words(before: Column, after: Column) -> Iterator[str]:
    name = shown(after.name)
    if before.type != after.type:
        yield f"column {name}: {shown(before.type)} becomes {shown(after.type)}"
    if before.collation != after.collation:
        yield f"collation of {name}: {or_none(before.collation)} becomes {or_none(after.collation)}"
    if before.not_null != after.not_null:
        yield f"column {name} {'must not be null' if after.not_null else 'may be null'}"
    elif before.not_null_name != after.not_null_name:
        yield f"the not-null constraint of {name} has another name"
    if before.default != after.default:
        yield default_words(name, before.default, after.default)
    if before.generated != after.generated:
        yield f"generation of {name}: {or_none(before.generated)} becomes {or_none(after.generated)}"
    if before.options != after.options:
        yield f"options of {name} change"


def default_words(column: str, before: str, after: str) -> str:
    """`default of state: 'new' becomes 'open'`."""
    if not before:
        return f"column {column} gets the default {shown(after)}"
    return f"default of {column}: {shown(before)} {f'becomes {shown(after)}' if after else 'is dropped'}"


def _tail_words(before: Table, after: Table) -> Iterator[str]:
    for opener in sorted({*before.tail, *after.tail}):
        old, new = before.tail.get(opener, ""), after.tail.get(opener, "")
        if old == new:
            continue
        if opener == "WITH":
            yield from option_words(options(old), options(new))
        elif opener == "OPTIONS":
            yield "its options change"
        else:
            yield f"{opener.lower()} {or_none(old)} becomes {or_none(new)}"


def option_words(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """Storage parameters and view options: `fillfactor: 70 becomes 80`."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None:
            yield f"sets {shown(name)} to {shown(new or '')}"
        else:
            yield f"{shown(name)}: {shown(old)} becomes {shown(new)}" if new is not None else f"resets {shown(name)}"


def more_words(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Further statements about a relation, one added or left away at a time."""
    for clause in after:
        if clause not in before:
            yield _KNOWN.get(clause, ("now: " + shown(clause), ""))[0]
    for clause in before:
        if clause not in after:
            yield _KNOWN.get(clause, ("", "no longer: " + shown(clause)))[1]


_KNOWN = {
    "FORCE ROW LEVEL SECURITY": (
        "row level security binds the owner too",
        "row level security binds the owner no more",
    ),
}


def shown(text: str) -> str:
    """A piece of a definition, fit for a sentence."""
    return printable(text, _LONG)


def or_none(text: str) -> str:
    return shown(text) if text else "none"
