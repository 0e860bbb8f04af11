"""`tables prod`: the tables of a target, largest first: rows as the server estimates them, size, row level security, and how
many policies there are.

No row is counted: their number is that of the server's last look at each table (ANALYZE or autovacuum), and a table that it
never looked at has none. A table that somebody has locked keeps nobody waiting. Partitions are counted with their table.
`open` stands where the API's roles (anon, authenticated) may use a table and no row level security guards it.

Everybody who may speak to the bot may look. Schemas that Supabase manages are left out.

Examples:
    tables prod      those of prod

See also: health, status
"""

from collections.abc import Sequence

from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Part
from commands.page import Table
from commands.page_words import plural
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.amounts import bytes_text
from ops.amounts import rows_text
from ops.layer import Ops
from ops.masking import printable
from ops.tables import TableFacts
from ops.tables import read_tables
from ops.targets import find_target

USAGE = "tables ENVIRONMENT"
SUMMARY = "list the tables: rows, size, row level security, policies"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS: dict[str, Option] = {}

SHOWN = 50


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    tables, count = read_tables(target)
    data = {"target": target.name, "tables": [one.to_json() for one in tables], "count": count}
    if not tables:
        plan = Command(f"plan {target.environment}")
        return Reply(Page(f"{target.name} has no tables", next=("see what a push would make with ", plan, ".")), data)
    is_open = sum(one.is_open for one in tables)
    headline = f"{target.name} has {plural(count, 'table')}" + (f", {is_open} open to the API" if is_open else "")
    more = f"the {SHOWN} largest; --json has all. " if len(tables) > SHOWN else ""
    body: list[Part] = [
        Table("", ["Table", "Rows", "Size", "Row level security"], [_row(one) for one in tables[:SHOWN]])
    ]
    small: Line = (f"{more}Rows are the server's estimates.",)
    return Reply(Page(headline, body=body, small=small, tone="warning" if is_open else "plain"), data)


def _row(table: TableFacts) -> Sequence[Line]:
    parts = f" ({plural(table.partitions, 'partition')})" if table.partitions else ""
    rows = "not counted yet" if table.rows is None else rows_text(table.rows)
    return [
        (Code(printable(f"{table.schema}.{table.name}")), parts),
        (rows,),
        (bytes_text(table.size_bytes),),
        (_guard_words(table),),
    ]


def _guard_words(table: TableFacts) -> str:
    if table.has_rls:
        forced = ", also for its owner" if table.is_forced else ""
        return f"on{forced}, {_policies(table.policies)}"
    unused = f", {_policies(table.policies)} without effect" if table.policies else ""
    return f"off: open to {' and '.join(table.reached)}{unused}" if table.is_open else f"off{unused}"


def _policies(count: int) -> str:
    return f"{count} {'policy' if count == 1 else 'policies'}"
