"""The rules of hazards that no reading of a file finds, and a rehearsal does. Their examples run in a rehearsal."""

from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule

DROP_SEEN = Rule(
    "drop-seen",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    caught="do $$ begin execute 'drop table ' || 'orders'; end $$;",
    left_alone="do $$ begin execute 'drop table ' || 'no_such_table'; exception when others then null; end $$;",
    safe_way="Copy the rows aside first, and write the DROP out, so that it is judged before it runs.",
)
ROWS_DELETED_SEEN = Rule(
    "rows-deleted-seen",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    caught="do $$ begin execute 'delete from ' || 'orders'; end $$;",
    left_alone="do $$ begin execute 'delete from ' || 'orders where false'; end $$;",
    safe_way="Copy the rows aside first; a foreign key ON DELETE CASCADE takes rows of other tables along.",
)
POLICY_DROP_SEEN = Rule(
    "policy-drop-seen",
    HazardClass.ACCESS,
    Level.CAUTION,
    caught="alter table orders drop column owner cascade;",
    left_alone="alter table orders drop column note cascade;",
    safe_way="Make the policies anew in the same file; a restrictive policy that is gone opens rows.",
)
ACCESS_OPENED = Rule(
    "access-opened",
    HazardClass.ACCESS,
    Level.DANGER,
    caught="do $$ begin execute 'create table public.' || 'visitors (id int)'; end $$;",
    left_alone="do $$ begin execute 'create table internal.' || 'visitors (id int)'; end $$;",
    safe_way="Look at what the message names, and close it in the same file.",
)
LOCK_SEEN = Rule(
    "lock-seen",
    HazardClass.LOCKS,
    Level.CAUTION,
    caught="do $$ begin execute 'create index on ' || 'orders (note)'; end $$;",
    left_alone="do $$ begin execute 'analyze ' || 'orders'; end $$;",
    safe_way="Write the statement out, so that it is judged, and take the gentle form of it.",
)
REWRITE_SEEN = Rule(
    "rewrite-seen",
    HazardClass.REWRITE,
    Level.DANGER,
    caught="do $$ begin execute 'alter table orders alter column id type ' || 'bigint'; end $$;",
    left_alone="do $$ begin execute 'alter table orders alter column note type ' || 'text'; end $$;",
    safe_way="Add a new column or table as it should be, fill it in batches, and move the clients over.",
)
ROWS_UPDATED_SEEN = Rule(
    "rows-updated-seen",
    HazardClass.SIZE,
    Level.CAUTION,
    caught="update orders set note = 'x' where id > 0;",
    left_alone="update orders set note = 'x' where id < 0;",
    safe_way="Give it a file of its own that runs in batches (docs/backfills.md).",
)
DEPENDENT_DROP_SEEN = Rule(
    "dependent-drop-seen",
    HazardClass.COMPATIBILITY,
    Level.CAUTION,
    caught="drop function order_total(int) cascade;",
    left_alone="drop function order_total(int);",
    safe_way="Drop without CASCADE, and name what must go with it.",
)
MORE_THAN_LISTED = Rule(
    "more-than-listed",
    HazardClass.DATA_LOSS,
    Level.DANGER,
    caught="",
    left_alone="",
    safe_way="Split the file or the statement, so that all that it does can be looked at.",
)
"""Of a report that was too much to be kept whole; no example is short enough to stand here."""

SEEN = (
    *(DROP_SEEN, ROWS_DELETED_SEEN, POLICY_DROP_SEEN, ACCESS_OPENED, LOCK_SEEN, REWRITE_SEEN, ROWS_UPDATED_SEEN),
    DEPENDENT_DROP_SEEN,
)
