"""Rules about what nobody can judge from the file."""

import re
from collections.abc import Iterator

from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
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
