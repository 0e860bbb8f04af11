"""Statements that bring one object to another definition in place, kind by kind, or why there are none."""

import re
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

from ops.schema.grants import quoted
from ops.schema.lexing import clauses
from ops.schema.lexing import options
from ops.schema.lexing import statements
from ops.schema.lexing import tokens
from ops.schema.model import Entry
from ops.schema.tables import Column
from ops.schema.tables import Table
from ops.schema.tables import read_table
from ops.schema.words import enum_values
from ops.schema.words import function_clauses
from ops.schema.words import sequence_options
from ops.schema.words import view_parts


class NotDerivedError(Exception):
    """No statements of ours bring the one to the other; the message says why, in a sentence for people."""


def name_of(entry: Entry) -> str:
    """The object's name as it stands in ALTER and GRANT, with a function's arguments: `public.total(a integer)`."""
    prefix = f"DROP {entry.key.kind.upper()} "
    if entry.drop.startswith(prefix):
        return entry.drop.strip().rstrip(";").removeprefix(prefix)
    names = (entry.key.schema, entry.key.name) if entry.key.schema else (entry.key.name,)
    return ".".join(quoted(name) for name in names)


def table_clauses(before: Entry, after: Entry) -> list[str]:
    """What follows ALTER TABLE and its name, in order. Raises NotDerivedError for what only a new table could be."""
    old, new = read_table(before.definition), read_table(after.definition)
    if old is None or new is None:
        raise NotDerivedError("Its definition cannot be taken apart.")
    found = [*_head(old, new), *_columns(old, new), *_constraints(old, new), *_tail(old, new), *_more(old, new)]
    if before.access_method != after.access_method or before.tablespace != after.tablespace:
        raise NotDerivedError("Moving a table to other storage writes it anew; that is left to a person.")
    return found


def retyped_columns(before: Entry, after: Entry) -> list[str]:
    """Columns that get another type or collation, so that views and policies that speak of them are in the way."""
    old, new = read_table(before.definition), read_table(after.definition)
    if old is None or new is None:
        return []
    both = [(old.columns[name], column) for name, column in new.columns.items() if name in old.columns]
    return [was.name for was, now in both if (was.type, was.collation) != (now.type, now.collation)]


def _head(old: Table, new: Table) -> Iterator[str]:
    if old.head == new.head:
        return
    if old.head.replace(" UNLOGGED", "") != new.head.replace(" UNLOGGED", ""):
        raise NotDerivedError("It is another kind of table.")
    yield "SET UNLOGGED" if " UNLOGGED" in new.head else "SET LOGGED"


def _columns(old: Table, new: Table) -> Iterator[str]:
    yield from (f"DROP CONSTRAINT {quoted(name)}" for name in _changed(old.constraints, new.constraints))
    yield from (f"DROP COLUMN {quoted(name)}" for name in old.columns if name not in new.columns)
    for name, column in new.columns.items():
        if name not in old.columns:
            yield f"ADD COLUMN {column.text}"
        elif old.columns[name] != column:
            yield from _column(old.columns[name], column)


def _column(old: Column, new: Column) -> Iterator[str]:
    if old.generated != new.generated or old.options != new.options or old.not_null_name != new.not_null_name:
        raise NotDerivedError(f"Column {new.name} is generated, foreign or named otherwise, which ALTER cannot change.")
    alter = f"ALTER COLUMN {quoted(new.name)}"
    default = old.default
    if (old.type, old.collation) != (new.type, new.collation):
        if default:
            yield f"{alter} DROP DEFAULT"
            default = ""
        collation = f" COLLATE {new.collation}" if new.collation else ""
        yield f"{alter} TYPE {new.type}{collation} USING {quoted(new.name)}::{new.type}"
    if default != new.default:
        yield f"{alter} SET DEFAULT {new.default}" if new.default else f"{alter} DROP DEFAULT"
    if old.not_null != new.not_null:
        yield f"{alter} {'SET' if new.not_null else 'DROP'} NOT NULL"


def _constraints(old: Table, new: Table) -> Iterator[str]:
    yield from (f"ADD {new.constraints[name]}" for name in _changed(new.constraints, old.constraints))


def _changed(these: Mapping[str, str], those: Mapping[str, str]) -> list[str]:
    found = [name for name, text in these.items() if those.get(name) != text]
    if any(not these[name].startswith("CONSTRAINT ") for name in found):
        raise NotDerivedError("A constraint of it has no name.")
    return found


def _tail(old: Table, new: Table) -> Iterator[str]:
    if any(old.tail.get(word) != new.tail.get(word) for word in {*old.tail, *new.tail} - {"WITH"}):
        raise NotDerivedError("How it is partitioned, what it inherits or where it is cannot be changed in place.")
    yield from _set_options(options(old.tail.get("WITH", "")), options(new.tail.get("WITH", "")))


def _set_options(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    changed = [f"{name}={_literal(value)}" for name, value in new.items() if old.get(name) != value]
    gone = [name for name in old if name not in new]
    if changed:
        yield f"SET ({', '.join(changed)})"
    if gone:
        yield f"RESET ({', '.join(gone)})"


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_UNDONE = (
    (re.compile(r"FORCE ROW LEVEL SECURITY"), "NO FORCE ROW LEVEL SECURITY"),
    (re.compile(r"(ALTER COLUMN .+) SET NOT NULL"), r"\1 DROP NOT NULL"),
    (re.compile(r"REPLICA IDENTITY (FULL|NOTHING)"), "REPLICA IDENTITY DEFAULT"),
    (re.compile(r"(ALTER COLUMN .+ SET STATISTICS) \d+"), r"\1 -1"),
    (re.compile(r"(ALTER COLUMN .+ SET COMPRESSION) \w+"), r"\1 default"),
    (re.compile(r"(ALTER COLUMN .+ SET STORAGE) \w+"), r"\1 DEFAULT"),
)


def _more(old: Table, new: Table) -> Iterator[str]:
    added = [clause for clause in new.more if clause not in old.more]
    for clause in old.more:
        if clause in new.more or _column_of(clause) in old.columns.keys() - new.columns.keys():
            continue
        for known, undone in _UNDONE:
            if known.fullmatch(clause):
                if not any(
                    known.fullmatch(one) and known.sub(undone, one) == known.sub(undone, clause) for one in added
                ):
                    yield known.sub(undone, clause)
                break
        else:
            raise NotDerivedError("A property of it can be set but not be taken back.")
    yield from added


def _column_of(clause: str) -> str:
    """The column that `ALTER COLUMN number SET STATISTICS 5` is about; empty where it is about none."""
    words = tokens(clause)
    return words[2].identifier if clause.startswith("ALTER COLUMN ") and len(words) > 2 else ""


def alter_type(before: Entry, after: Entry) -> list[str]:
    """New values of an enum, each where it belongs; attributes of a composite type."""
    old, new = enum_values(before.definition), enum_values(after.definition)
    if old is None or new is None or ("AS ENUM" in before.definition) != ("AS ENUM" in after.definition):
        raise NotDerivedError("It is no enum or composite type, and only those can be changed in place.")
    if "AS ENUM" not in after.definition:
        return _alter_composite(name_of(after), old, new)
    if [value for value in new if value in old] != old:
        raise NotDerivedError("A value of an enum cannot be dropped or moved.")
    found = []
    for place, value in enumerate(new):
        if value not in old:
            where = f" AFTER {new[place - 1]}" if place else f" BEFORE {old[0]}" if old else ""
            found.append(f"ALTER TYPE {name_of(after)} ADD VALUE {value}{where};")
    return found


def _alter_composite(name: str, old: list[str], new: list[str]) -> list[str]:
    def named(attributes: list[str]) -> dict[str, str]:
        return {tokens(one)[0].text: one for one in attributes}

    was, now = named(old), named(new)
    steps = [f"DROP ATTRIBUTE {attribute}" for attribute in was if attribute not in now]
    steps += [f"ADD ATTRIBUTE {text}" for attribute, text in now.items() if attribute not in was]
    for attribute, text in now.items():
        if attribute in was and was[attribute] != text:
            steps.append(f"ALTER ATTRIBUTE {attribute} TYPE {text.removeprefix(attribute).strip()}")
    return [f"ALTER TYPE {name} {step};" for step in steps]


def alter_domain(before: Entry, after: Entry) -> list[str]:
    """Its default, NOT NULL and constraints; another base type is another domain."""
    (base, was), (now_base, now) = _domain(before.definition), _domain(after.definition)
    if base != now_base:
        raise NotDerivedError("The type under a domain cannot be changed.")
    steps = []
    if was.get("DEFAULT") != now.get("DEFAULT"):
        steps.append(f"SET DEFAULT {now['DEFAULT']}" if "DEFAULT" in now else "DROP DEFAULT")
    if ("NOT" in was) != ("NOT" in now):
        steps.append(f"{'SET' if 'NOT' in now else 'DROP'} NOT NULL")
    for name in [name for name in was if name not in ("DEFAULT", "NOT") and was[name] != now.get(name)]:
        steps.append(f"DROP CONSTRAINT {name}")
    for name in [name for name in now if name not in ("DEFAULT", "NOT") and now[name] != was.get(name)]:
        steps.append(f"ADD CONSTRAINT {name} {now[name]}")
    return [f"ALTER DOMAIN {name_of(after)} {step};" for step in steps]


def _domain(definition: str) -> tuple[str, dict[str, str]]:
    """What it is made of, and its clauses; constraints by their quoted names."""
    head, *constraints = re.split(r"\n\tCONSTRAINT ", definition.strip().rstrip(";"))
    found = clauses(head, ("AS", "DEFAULT", "NOT"))
    rest = {word: text for word, text in found.items() if word in ("DEFAULT", "NOT")}
    for constraint in constraints:
        name = tokens(constraint)[0].text
        rest[name] = constraint.removeprefix(name).strip()
    return found.get("AS", ""), rest


def alter_sequence(before: Entry, after: Entry) -> list[str]:
    """Its options. Where it stands now is data and stays."""
    old, new = sequence_options(before.definition), sequence_options(after.definition)
    found = []
    if old.get("GENERATED") != new.get("GENERATED"):
        kind = "ALWAYS" if new.get("GENERATED", "").startswith("ALWAYS") else "BY DEFAULT"
        found.append(f"{identity_column(after)} SET GENERATED {kind};")
    said = []
    for word in ("AS", "INCREMENT", "MINVALUE", "MAXVALUE", "START", "CACHE", "CYCLE"):
        if old.get(word) == new.get(word):
            continue
        value = new.get(word)
        if word == "CYCLE":
            said.append("CYCLE" if value is not None else "NO CYCLE")
        elif value == "NO":
            said.append(f"NO {word}")
        else:
            said.append(f"{word} {value if value is not None else 'bigint'}")
    return [*found, f"ALTER SEQUENCE {name_of(after)} {' '.join(said)};"] if said else found


def identity_column(entry: Entry) -> str:
    """`ALTER TABLE public.t ALTER COLUMN id` of an identity column's sequence."""
    words = tokens(entry.definition)
    end = next(token.start for token in words if token.text == "ADD" and token.depth == 0)
    return entry.definition[:end].strip()


def alter_view(before: Entry, after: Entry) -> list[str] | None:
    """Other options only; None where the query is another, for which the view is made anew."""
    old, new = view_parts(before), view_parts(after)
    if old.get("AS") != new.get("AS") or after.key.kind != "view":
        return None
    steps = _set_options(options(old.get("WITH", "")), options(new.get("WITH", "")))
    return [f"ALTER VIEW {name_of(after)} {step};" for step in steps]


def alter_function(before: Entry, after: Entry) -> list[str] | None:
    """The new definition in the old one's place; None where arguments or result are others."""
    old, new = function_clauses(before), function_clauses(after)
    if any(old.get(word) != new.get(word) for word in ("", "RETURNS", "WINDOW")):
        return None
    word = after.key.kind.upper()
    return [after.definition.strip().replace(f"CREATE {word} ", f"CREATE OR REPLACE {word} ", 1)]


def alter_trigger(before: Entry, after: Entry) -> list[str] | None:
    """On or off; None where the trigger itself is another."""
    old, new = statements(before.definition), statements(after.definition)
    if old[:1] != new[:1]:
        return None
    relation, name = _on_relation(after.drop), quoted(after.own_name)
    return [f"{one};" for one in new[1:]] or [f"ALTER TABLE {relation} ENABLE TRIGGER {name};"]


def _on_relation(drop: str) -> str:
    """`public.orders` of `DROP TRIGGER t ON public.orders;`."""
    return clauses(drop, ("ON",)).get("ON", "")


def alter_role(before: Entry, after: Entry) -> list[str]:
    """All attributes as they shall be."""
    said = after.definition.replace("CREATE ROLE", "ALTER ROLE", 1).rstrip(";")
    if "CONNECTION LIMIT" in before.definition and "CONNECTION LIMIT" not in said:
        said += " CONNECTION LIMIT -1"
    if "VALID UNTIL" in before.definition and "VALID UNTIL" not in said:
        said += " VALID UNTIL 'infinity'"
    return [said + ";"]


def alter_extension(before: Entry, after: Entry) -> list[str]:
    """Another schema; its version is an object of its own."""
    (old,), (new,) = (clauses(entry.definition, ("SCHEMA",)).get("SCHEMA", "").split() for entry in (before, after))
    return [f"ALTER EXTENSION {name_of(after)} SET SCHEMA {new};"] if old != new else []


def alter_publication(before: Entry, after: Entry) -> list[str]:
    """What is published of its tables; publishing all tables or named ones cannot be changed into each other."""
    old, new = (clauses(entry.definition, ("FOR", "WITH")) for entry in (before, after))
    if old.get("FOR") != new.get("FOR"):
        raise NotDerivedError("A publication of all tables cannot become one of some, nor the other way round.")
    return [f"ALTER PUBLICATION {name_of(after)} SET {new.get('WITH', '')};"]


def again(_before: Entry, after: Entry) -> list[str]:
    """The definition itself, which sets what was set before."""
    return [after.definition.strip()]


ALTERED: Mapping[str, Callable[[Entry, Entry], list[str] | None]] = {
    "type": alter_type,
    "domain": alter_domain,
    "sequence": alter_sequence,
    "view": alter_view,
    "function": alter_function,
    "procedure": alter_function,
    "trigger": alter_trigger,
    "role": alter_role,
    "extension": alter_extension,
    "publication": alter_publication,
    **dict.fromkeys(
        (
            *("comment", "security label", "default", "sequence owned by", "extension version"),
            *("database setting", "role setting"),
        ),
        again,
    ),
}
"""What changes in place. None, as for kinds that are not here: the object is dropped and made anew."""


def taken_back(entry: Entry) -> list[str]:
    """Statements that undo what pg_dump has no DROP for, or its own DROP. Raises NotDerivedError."""
    kind, text = entry.key.kind, entry.definition
    if kind in ("comment", "security label"):
        at = next(token for token in tokens(text) if token.name == "IS" and token.depth == 0)
        return [f"{text[: at.end]} NULL;"]
    if kind == "row security":
        return [text.strip().replace(" ENABLE ROW LEVEL SECURITY", " DISABLE ROW LEVEL SECURITY")]
    if kind == "sequence" and not entry.drop:
        return [f"{identity_column(entry)} DROP IDENTITY;"]
    if kind == "sequence owned by":
        return [f"ALTER SEQUENCE {name_of(entry)} OWNED BY NONE;"]
    if kind == "table attach":
        return [_until(text.replace(" ATTACH PARTITION ", " DETACH PARTITION ", 1), ("FOR", "DEFAULT"))]
    if kind.startswith("publication ") and " ADD TABLE" in text:
        return [_until(text.replace(" ADD TABLE", " DROP TABLE", 1), ("WHERE", "("))]
    if kind == "database privileges":
        return [f"REVOKE ALL ON DATABASE this FROM {entry.key.name};"]
    if entry.drop:
        return [entry.drop.strip()]
    raise NotDerivedError("No statement takes it away.")


def _until(statement: str, words: tuple[str, ...]) -> str:
    """The statement up to one of these words outside brackets."""
    end = next((one.start for one in tokens(statement) if one.depth == 0 and one.text in (*words, ";")), len(statement))
    return statement[:end].strip() + ";"
