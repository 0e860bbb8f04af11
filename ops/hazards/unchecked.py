"""Rules about what nobody can judge from the file."""

import re
from collections.abc import Iterator
from typing import Any

from pglast import ast

from ops import bodies
from ops import grammar
from ops.access_finding import PLATFORM_SCHEMAS
from ops.grammar import names
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Name
from ops.hazards.pending import Pending
from ops.masking import printable
from ops.migrations import Migration

IGNORE_COMMENT = re.compile(r"squawk-ignore", re.IGNORECASE)


@rule(
    "cannot-be-read",
    HazardClass.UNCHECKED,
    Level.CAUTION,
    on=(type(None),),
    caught="do $$ begin execute format('drop table %I', 'orders'); end $$;",
    left_alone="do $$ begin if true then perform 1; end if; end $$;",
    safe_way="Write the statements out, so that they can be judged.",
)
def cannot_be_read(act: Act, pending: Pending) -> Iterator[str | Found]:
    """SQL that a DO block builds at run time, and statements that the grammar does not take."""
    if act.is_certain:
        yield "This statement is not read by the grammar of PostgreSQL 18, so nobody has judged it."
    else:
        yield "This DO block builds SQL at run time, so nobody has judged what it does."


@rule(
    "linter-ignore-comment",
    HazardClass.UNCHECKED,
    Level.CAUTION,
    on=(Migration,),
    caught="-- squawk-ignore-file\nselect 1;",
    left_alone="-- a comment\nselect 1;",
    safe_way="Take the comment out; what it names is reported all the same.",
)
def linter_ignore_comment(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Comments that would silence the linter. Here they silence nothing."""
    for found in IGNORE_COMMENT.finditer(act.migration.text):
        line = act.migration.text.count("\n", 0, found.start()) + 1
        yield Found("A comment asks the linter to look away; it has looked all the same.", line)


# Statements in the body of a function that change no more than rows that they add themselves.
_HARMLESS = ("insert", "set", "call")
_EXTENSIONS = frozenset({"pg_catalog", "information_schema", "pgmq", "partman", "tiger", "topology", "postgis"})


class _Functions:
    """The functions that the plan has made so far: whether somebody should read what they do before they are called."""

    def __init__(self) -> None:
        self.is_calm: dict[Name, bool] = {}

    def take(self, act: Act, pending: Pending) -> bool:
        """Note a function that is made; whether it builds SQL at run time."""
        node = act.node
        language = str(grammar.options(node.options).get("language", "")).lower()
        body = bodies.body_of(node, act.migration.text, 0) if language in ("sql", "plpgsql") else None
        said = [one.text.split(None, 1)[:1] for one in bodies.said(body)] if body is not None else []
        words = [word[0].lower() if word else "" for word in said]
        self.is_calm[pending.name_of_parts(names(node.funcname))] = all(word in _HARMLESS for word in words)
        return "" in words


@rule(
    "function-builds-sql",
    HazardClass.UNCHECKED,
    Level.INFO,
    on=(ast.CreateFunctionStmt,),
    caught=(
        "create function tidy(t text) returns void language plpgsql as"
        " $$ begin execute format('truncate %I', t); end $$;"
    ),
    left_alone=(
        "create function tidy() returns void language plpgsql as $$ begin insert into log default values; end $$;"
    ),
    safe_way="Write the statements out, or let nobody call it with names of their own choice.",
)
def function_builds_sql(act: Act, pending: Pending) -> Iterator[str | Found]:
    """What such a function does depends on who calls it and how."""
    if pending.remembered(_Functions).take(act, pending):
        name = pending.name_of_parts(names(act.node.funcname))
        yield f"Function {name} builds SQL at run time, so nobody has judged what it does when it is called."


@rule(
    "calls-unread-function",
    HazardClass.UNCHECKED,
    Level.CAUTION,
    on=(ast.SelectStmt, ast.CallStmt),
    caught="call tidy_up();",
    left_alone="select setval('orders_number', 5);",
    safe_way="Write out what it does, or look at what it did in a rehearsal.",
)
def calls_unread_function(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A function that is called for what it does: one of the plan's own that changes more than it adds, a procedure, or
    a function of the project's schemas. A rehearsal with rows shows what it does."""
    statement = act.statement
    if statement is not None and statement.tree and isinstance(statement.tree.node, ast.CreateTableAsStmt):
        return  # a view is to be read
    for call in _called_alone(act.node):
        parts = names(call.funcname)
        name = pending.name_of_parts(parts)
        is_calm = pending.remembered(_Functions).is_calm.get(name)
        if is_calm is None:
            is_foreign = name.schema in PLATFORM_SCHEMAS | _EXTENSIONS
            is_calm = is_foreign or (len(parts) < 2 and not isinstance(act.node, ast.CallStmt))
        if not is_calm:
            yield f"Calls {printable('.'.join(parts))}, and nobody has judged what that does."


def _called_alone(node: Any) -> Iterator[ast.FuncCall]:
    """The calls of CALL f(), SELECT f() and SELECT … FROM f(); those on rows of a table are there to compute."""
    if isinstance(node, ast.CallStmt):
        yield from (node.funccall,) if node.funccall is not None else ()
        return
    if not node.fromClause:
        yield from (each.val for each in node.targetList or () if isinstance(each.val, ast.FuncCall))
    for item in node.fromClause or ():
        if isinstance(item, ast.RangeFunction):
            yield from (each for each in grammar.walk(item) if isinstance(each, ast.FuncCall))
