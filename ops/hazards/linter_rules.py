"""Which rules of squawk 2.70.0 count here, in our classes and levels and in our words."""

from dataclasses import dataclass

from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule

# Style, and what rules of our own say better.
EXCLUDED = {
    *("ban-drop-table", "ban-drop-column", "ban-drop-schema", "ban-drop-extension", "ban-drop-database"),
    *("ban-truncate-cascade", "ban-char-field", "require-table-schema", "require-enum-value-ordering"),
    *("require-timeout-settings", "transaction-nesting", "ban-uncommitted-transaction", "unused-ignore"),
    *("ban-concurrent-index-creation-in-transaction", "ban-drop-policy", "ban-alter-policy-condition"),
    *("ban-alter-policy-roles", "ban-create-policy", "ban-alter-row-level-security"),
}


@dataclass(frozen=True)
class Linted:
    """A rule of squawk under our class and level, and what we say when it fires."""

    rule: Rule
    message: str


def _linted(
    id: str, hazard_class: HazardClass, level: Level, message: str, safe_way: str, caught: str, left_alone: str
) -> Linted:
    return Linted(Rule(id, hazard_class, level, caught, left_alone, safe_way), message)


_LOCKS, _CLIENTS = HazardClass.LOCKS, HazardClass.COMPATIBILITY
_DANGER, _CAUTION = Level.DANGER, Level.CAUTION
_TWO_STEPS = "Add the constraint NOT VALID, and VALIDATE it in the next migration."
_NEW_NAME = "Add the new name beside the old one, move the clients over, then take the old one away."
_LATER = "Move the clients off it first, and take it away some days later."

LINTED = {
    linted.rule.id: linted
    for linted in (
        _linted(
            "require-concurrent-index-creation",
            *(_LOCKS, _DANGER, "Nobody can write to the table while the index is built."),
            "Use CREATE INDEX CONCURRENTLY in a migration of its own.",
            caught="create index orders_note on orders (note);",
            left_alone="create index concurrently orders_note on orders (note);",
        ),
        _linted(
            "require-concurrent-index-deletion",
            *(_LOCKS, _CAUTION, "Dropping the index waits for, and then stops, all who use the table."),
            "Use DROP INDEX CONCURRENTLY in a migration of its own.",
            caught="drop index orders_note;",
            left_alone="drop index concurrently orders_note;",
        ),
        _linted(
            "constraint-missing-not-valid",
            *(_LOCKS, _DANGER, "Nobody can write to the table while every row is checked."),
            _TWO_STEPS,
            caught="alter table orders add constraint positive check (amount > 0);",
            left_alone="alter table orders add constraint positive check (amount > 0) not valid;",
        ),
        _linted(
            "adding-foreign-key-constraint",
            *(_LOCKS, _DANGER, "Nobody can write to either table while the foreign key is checked."),
            _TWO_STEPS,
            caught="alter table orders add column buyer bigint references people (id);",
            left_alone="alter table orders add column buyer bigint;",
        ),
        _linted(
            "adding-field-with-default",
            *(_LOCKS, _DANGER, "The whole table is rewritten for the new column, while nobody can use it."),
            "Add the column without a default, set the default, and fill it in batches.",
            caught="alter table orders add column token uuid default gen_random_uuid();",
            left_alone="alter table orders add column state text default 'new';",
        ),
        _linted(
            "changing-column-type",
            *(_LOCKS, _DANGER, "The table may be rewritten for the new type, while nobody can use it."),
            "Add a column of the new type, fill it in batches, and move the clients over.",
            caught="alter table orders alter column id type bigint;",
            left_alone="alter table orders alter column id set statistics 500;",
        ),
        _linted(
            "adding-not-nullable-field",
            *(_LOCKS, _DANGER, "Nobody can use the table while every row is checked for NOT NULL."),
            "Add CHECK (… IS NOT NULL) NOT VALID, VALIDATE it in the next migration, then SET NOT NULL.",
            caught="alter table orders alter column note set not null;",
            left_alone="alter table orders alter column note set default '';",
        ),
        _linted(
            "adding-serial-primary-key-field",
            *(_LOCKS, _DANGER, "Nobody can use the table while the primary key is built."),
            "Build a unique index CONCURRENTLY, then ADD PRIMARY KEY USING INDEX.",
            caught="alter table orders add primary key (id);",
            left_alone="alter table orders add primary key using index orders_id;",
        ),
        _linted(
            "disallowed-unique-constraint",
            *(_LOCKS, _DANGER, "Nobody can use the table while the unique index is built."),
            "Build a unique index CONCURRENTLY, then ADD CONSTRAINT … UNIQUE USING INDEX.",
            caught="alter table orders add constraint one_note unique (note);",
            left_alone="alter table orders add constraint one_note unique using index orders_note;",
        ),
        _linted(
            "require-concurrent-partition-detach",
            *(_LOCKS, _CAUTION, "Detaching the partition waits for, and then stops, all who use the table."),
            "Use DETACH PARTITION … CONCURRENTLY in a migration of its own.",
            caught="alter table orders detach partition orders_2020;",
            left_alone="alter table orders detach partition orders_2020 concurrently;",
        ),
        _linted(
            "require-concurrent-reindex",
            *(_LOCKS, _DANGER, "Nobody can write to the table while its index is built anew."),
            "Use REINDEX … CONCURRENTLY in a migration of its own.",
            caught="reindex table orders;",
            left_alone="reindex table concurrently orders;",
        ),
        _linted(
            "ban-create-domain-with-constraint",
            *(_LOCKS, _CAUTION, "A constraint on a domain cannot be changed later without long locks."),
            "Put the constraint on the table.",
            caught="create domain positive as int check (value > 0);",
            left_alone="create domain positive as int;",
        ),
        _linted(
            "ban-alter-domain-with-add-constraint",
            *(_LOCKS, _CAUTION, "Every table with a column of the domain is checked, while nobody can write to it."),
            "Put the constraint on the table.",
            caught="alter domain positive add constraint small check (value < 9);",
            left_alone="alter domain positive set default 1;",
        ),
        _linted(
            "adding-required-field",
            *(_CLIENTS, _DANGER, "Existing rows and clients have no value for the new NOT NULL column."),
            "Add the column without NOT NULL or with a constant default.",
            caught="alter table orders add column note text not null;",
            left_alone="alter table orders add column note text not null default '';",
        ),
        _linted(
            "renaming-column",
            *(_CLIENTS, _DANGER, "Clients that know the column by its old name break."),
            _NEW_NAME,
            caught="alter table orders rename column note to remark;",
            left_alone="alter table orders add column remark text;",
        ),
        _linted(
            "renaming-table",
            *(_CLIENTS, _DANGER, "Clients that know the table by its old name break."),
            _NEW_NAME,
            caught="alter table orders rename to purchases;",
            left_alone="comment on table orders is 'purchases';",
        ),
        _linted(
            "renaming-object",
            *(_CLIENTS, _CAUTION, "Clients that know the object by its old name break."),
            _NEW_NAME,
            caught="alter view open_orders rename to orders_open;",
            left_alone="comment on view open_orders is 'not yet paid';",
        ),
        _linted(
            "ban-set-schema",
            *(_CLIENTS, _CAUTION, "Clients that know the object in its old schema break."),
            _NEW_NAME,
            caught="alter table orders set schema archive;",
            left_alone="comment on table orders is 'to be archived';",
        ),
        _linted(
            "ban-drop-not-null",
            *(_CLIENTS, _CAUTION, "Clients that count on a value may meet none."),
            "Let the clients cope with NULL first.",
            caught="alter table orders alter column note drop not null;",
            left_alone="alter table orders alter column note drop default;",
        ),
        _linted(
            "ban-drop-constraint",
            *(_CLIENTS, _CAUTION, "Clients may count on what the constraint guaranteed."),
            _LATER,
            caught="alter table orders drop constraint positive;",
            left_alone="alter table orders validate constraint positive;",
        ),
        _linted(
            "ban-drop-view",
            *(_CLIENTS, _CAUTION, "Clients that read the view break."),
            _LATER,
            caught="drop view open_orders;",
            left_alone="comment on view open_orders is 'old';",
        ),
        _linted(
            "ban-drop-function",
            *(_CLIENTS, _CAUTION, "Clients that call the function break."),
            _LATER,
            caught="drop function total(bigint);",
            left_alone="comment on function total(bigint) is 'old';",
        ),
        _linted(
            "ban-drop-type",
            *(_CLIENTS, _CAUTION, "Clients that know the type break."),
            _LATER,
            caught="drop type mood;",
            left_alone="comment on type mood is 'old';",
        ),
        _linted(
            "ban-drop-domain",
            *(_CLIENTS, _CAUTION, "Clients that know the domain break."),
            _LATER,
            caught="drop domain positive;",
            left_alone="comment on domain positive is 'old';",
        ),
        _linted(
            "ban-drop-sequence",
            *(HazardClass.DATA_LOSS, _CAUTION, "The sequence's place is lost; a new one would start over."),
            _LATER,
            caught="drop sequence orders_number;",
            left_alone="comment on sequence orders_number is 'old';",
        ),
        _linted(
            "ban-alter-identity",
            *(_CLIENTS, _CAUTION, "Clients that insert their own value for the column may be refused."),
            "Use GENERATED BY DEFAULT, or change the clients first.",
            caught="alter table orders alter column id add generated always as identity;",
            left_alone="alter table orders alter column id set default 1;",
        ),
        _linted(
            "identifier-too-long",
            *(_CLIENTS, _CAUTION, "Postgres cuts the name after 63 bytes."),
            "Choose a shorter name.",
            caught=f"comment on table {'o' * 70} is 'cut';",
            left_alone=f"comment on table {'o' * 60} is 'whole';",
        ),
        _linted(
            "syntax-error",
            *(HazardClass.UNCHECKED, _CAUTION, "The linter cannot read this place, so it has not judged what follows."),
            "Look whether the statement is whole, and try it on a database of your own first.",
            caught="frobnicate orders;",
            left_alone="select 1;",
        ),
    )
}
