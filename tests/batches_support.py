"""What the tests of batches share: a table whose rows count how often they were met, and files that meet each once."""

from typing import Any

import pytest
from apply_helpers import ListJournal
from apply_helpers import Target
from apply_helpers import apply
from apply_helpers import migration

from ops.apply_journal import Finished
from ops.batch_log import BatchIntent
from ops.errors import OpsError

MARK = "-- countersign: in batches of 100 rows\n"
COUNTED = f"{MARK}update counted set n = n + 1;"
MANY = 1_000
ONCE = [(1, MANY)]
SLOW = """
create function slowly() returns trigger language plpgsql as
$$ begin if new.id = {row} then perform pg_sleep({seconds}); end if; return new; end $$;
create trigger slowly before update on counted for each row execute function slowly();
"""
TABLE = f"""
create table counted (id bigint primary key, n int not null default 0);
insert into counted select i from generate_series(1, {MANY}) as i; analyze counted;
"""


def times(target: Target, table: str = "counted") -> list[tuple[Any, ...]]:
    """How often rows were met, and how many of them."""
    return target.rows(f"select n, count(*) from {table} group by n order by n")


def sent(journal: ListJournal) -> list[BatchIntent]:
    return [one for one in journal.entries if isinstance(one, BatchIntent)]


def last_end(journal: ListJournal) -> Finished:
    return [one for one in journal.entries if isinstance(one, Finished) and one.segment == 0][-1]


def apply_until(target: Target, sql: str, journal: ListJournal, batches: int) -> OpsError:
    """Apply a file until so many batches are committed, and then say stop."""
    with pytest.raises(OpsError) as caught:
        apply(target, migration(sql), journal=journal, stop=lambda: len(sent(journal)) >= batches)
    return caught.value
