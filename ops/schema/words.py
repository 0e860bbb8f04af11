"""How one object changes, in the words of a person who reads a change request."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

from ops.schema.grants import grant_words
from ops.schema.grants import read_grants
from ops.schema.lexing import between
from ops.schema.lexing import clauses
from ops.schema.lexing import options
from ops.schema.lexing import statements
from ops.schema.lexing import tokens
from ops.schema.model import Entry
from ops.schema.tables import default_words
from ops.schema.tables import more_words
from ops.schema.tables import option_words
from ops.schema.tables import or_none
from ops.schema.tables import read_table
from ops.schema.tables import shown
from ops.schema.tables import table_words

Words = Iterator[str]
_FEW_COLUMNS = 4
_OWNED = frozenset(
    (
        *("aggregate", "collation", "conversion", "domain", "event trigger", "foreign data wrapper", "foreign table"),
        *("function", "materialized view", "operator", "operator class", "operator family", "procedural language"),
        *("procedure", "publication", "schema", "sequence", "server", "statistics", "subscription", "table"),
        *("text search configuration", "text search dictionary", "type", "view"),
    )
)


def has_owner(entry: Entry) -> bool:
    """Whether it has an owner of its own. A constraint's, say, is its table's, and so is an identity column's."""
    return entry.key.kind in _OWNED and not (entry.key.kind == "sequence" and entry.parent is not None)


def change_words(before: Entry, after: Entry) -> str:
    """What is different, in one line; at least "changes"."""
    told = list(_DIFFERENT.get(after.key.kind, _other)(before, after)) if before.definition != after.definition else []
    if has_owner(after) and before.owner != after.owner:
        told.append(f"owner: {shown(before.owner)} becomes {shown(after.owner)}")
    for name in ("tablespace", "access_method"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            told.append(f"{name.replace('_', ' ')}: {or_none(old)} becomes {or_none(new)}")
    return "; ".join(told) or "changes"


def creation_words(entry: Entry) -> str:
    """What is there now, in few words; may be empty."""
    return "; ".join(_CREATED.get(entry.key.kind, _nothing)(entry))


def acl_words(before: Entry | None, after: Entry | None) -> str:
    """Who may do what from now on. A missing entry stands for what a new object has."""
    old = read_grants(before.definition, before.owner) if before else None
    new = read_grants(after.definition, after.owner) if after else None
    if (before and not old) or (after and not new):
        return "privileges change"
    return "; ".join(grant_words(old, new)) or "privileges change"


def _nothing(_entry: Entry) -> Words:
    return iter(())


def _other(before: Entry, after: Entry) -> Words:
    """Short definitions are told whole."""
    old, new = _body(before), _body(after)
    yield f"{shown(old)} becomes {shown(new)}" if max(len(old), len(new)) <= 100 else "its definition changes"


def _body(entry: Entry) -> str:
    """The definition without the words that name the object and its kind."""
    text = " ".join(entry.definition.split()).rstrip(";")
    name = entry.own_name
    at = text.find(name)
    return text[at + len(name) :].strip() if at >= 0 and name else text


def _table(before: Entry, after: Entry) -> Words:
    old, new = read_table(before.definition), read_table(after.definition)
    if old is not None and new is not None:
        yield from table_words(old, new)


def _new_table(entry: Entry) -> Words:
    table = read_table(entry.definition)
    if table is not None:
        first = [str(column) for column in list(table.columns.values())[:_FEW_COLUMNS]]
        more = [f"{len(table.columns) - _FEW_COLUMNS} more"] if len(table.columns) > _FEW_COLUMNS else []
        yield f"columns {', '.join([*first, *more])}" if first else "no columns"


def _default(before: Entry, after: Entry) -> Words:
    yield default_words(shown(before.own_name), *(_after_word(entry, "DEFAULT") for entry in (before, after)))


def _new_default(entry: Entry) -> Words:
    yield shown(_after_word(entry, "DEFAULT"))


def _after_word(entry: Entry, word: str) -> str:
    """What follows a keyword that stands outside brackets."""
    return clauses(entry.definition, (word,)).get(word, "")


def _view(before: Entry, after: Entry) -> Words:
    old, new = view_parts(before), view_parts(after)
    yield from option_words(options(old.get("WITH", "")), options(new.get("WITH", "")))
    if old.get("AS") != new.get("AS"):
        yield "its query changes"


def view_parts(entry: Entry) -> dict[str, str]:
    """A view's options as WITH and its query as AS; the words of the query open nothing."""
    text = entry.definition
    first = next((token for token in tokens(text) if token.depth == 0 and token.name == "AS"), None)
    if first is None:
        return {}
    return {**clauses(text[: first.start], ("WITH",)), "AS": text[first.end :].strip()}


_FUNCTION = (
    *("RETURNS", "LANGUAGE", "IMMUTABLE", "STABLE", "VOLATILE", "STRICT", "SECURITY", "LEAKPROOF", "WINDOW", "COST"),
    *("ROWS", "PARALLEL", "SET", "SUPPORT", "TRANSFORM", "AS", "RETURN", "BEGIN"),
)
_BECOMES = {
    "STRICT": ("returns null for null arguments", "is called for null arguments too"),
    "SECURITY": ("becomes security definer", "becomes security invoker"),
    "LEAKPROOF": ("becomes leakproof", "is leakproof no more"),
    "WINDOW": ("becomes a window function", "is a window function no more"),
}


def _function(before: Entry, after: Entry) -> Words:
    old, new = (function_clauses(entry) for entry in (before, after))
    for opener in _FUNCTION:
        was, now = old.get(opener), new.get(opener)
        if was == now or opener in ("IMMUTABLE", "STABLE", "VOLATILE"):
            continue
        if opener in _BECOMES:
            yield _BECOMES[opener][now is None]
        elif opener == "SET":
            yield f"settings: {or_none(was or '')} becomes {or_none(now or '')}"
        elif opener not in ("AS", "RETURN", "BEGIN"):
            yield f"{opener.lower()}: {or_none(was or '')} becomes {or_none(now or '')}"
    volatile = [next((word for word in ("IMMUTABLE", "STABLE") if word in one), "VOLATILE") for one in (old, new)]
    if volatile[0] != volatile[1]:
        yield f"{volatile[0].lower()} becomes {volatile[1].lower()}"
    if any(old.get(opener) != new.get(opener) for opener in ("AS", "RETURN", "BEGIN")):
        yield "its body changes"
    if old.get("") != new.get(""):
        yield "its arguments change"


def function_clauses(entry: Entry) -> dict[str, str]:
    """Its clauses; a body in SQL (BEGIN ATOMIC) is one, whatever words are in it."""
    text = entry.definition
    body = next((token for token in tokens(text) if token.depth == 0 and token.name in ("BEGIN_P", "RETURN")), None)
    if body is None:
        return clauses(text, _FUNCTION)
    return {**clauses(text[: body.start], _FUNCTION), "BEGIN": text[body.start :]}


def _new_function(entry: Entry) -> Words:
    found = function_clauses(entry)
    parts = [f"returns {shown(found['RETURNS'])}"] if "RETURNS" in found else []
    parts += [f"language {shown(found['LANGUAGE'])}"] if "LANGUAGE" in found else []
    yield ", ".join([*parts, *(["security definer"] if "SECURITY" in found else [])])


_POLICY = ("AS", "FOR", "TO", "USING", "WITH")
_POLICY_WORDS = {"AS": "it is", "FOR": "for", "TO": "to", "USING": "using", "WITH": "with"}
_POLICY_DEFAULTS = {"AS": "PERMISSIVE", "FOR": "ALL", "TO": "PUBLIC"}


def _policy(before: Entry, after: Entry) -> Words:
    old, new = (_POLICY_DEFAULTS | clauses(entry.definition, _POLICY) for entry in (before, after))
    for opener in _POLICY:
        was, now = old.get(opener, ""), new.get(opener, "")
        if was != now:
            yield f"{_POLICY_WORDS[opener]} {or_none(was)} becomes {or_none(now)}"


def _new_policy(entry: Entry) -> Words:
    found = _POLICY_DEFAULTS | clauses(entry.definition, _POLICY)
    parts = [f"for {shown(found['FOR'])} to {shown(found['TO'])}"]
    parts += ["restrictive"] if found["AS"] == "RESTRICTIVE" else []
    parts += [f"{word.lower()} {shown(found[word])}" for word in ("USING", "WITH") if word in found]
    yield ", ".join(parts)


_INDEX = ("USING", "INCLUDE", "NULLS", "WITH", "TABLESPACE", "WHERE")


def _index(before: Entry, after: Entry) -> Words:
    lines = [statements(entry.definition) for entry in (before, after)]
    old, new = (clauses(one[0] if one else "", _INDEX) for one in lines)
    for opener in _INDEX:
        was, now = old.get(opener, ""), new.get(opener, "")
        if was != now:
            word = "on" if opener == "USING" else opener.lower()
            yield f"{word} {or_none(was)} becomes {or_none(now)}"
    if old.get("", "") != new.get("", ""):
        yield "becomes unique" if "UNIQUE" in new.get("", "").split()[:2] else "is unique no more"
    yield from more_words(lines[0][1:], lines[1][1:])


def _new_index(entry: Entry) -> Words:
    found = clauses(entry.definition, _INDEX)
    unique = "unique, " if "UNIQUE" in found.get("", "").split()[:2] else ""
    where = f" where {shown(found['WHERE'])}" if "WHERE" in found else ""
    yield f"{unique}{shown(found.get('USING', ''))}{where}"


def _constraint(before: Entry, after: Entry) -> Words:
    yield f"{shown(_constraint_text(before))} becomes {shown(_constraint_text(after))}"


def _new_constraint(entry: Entry) -> Words:
    yield shown(_constraint_text(entry))


def _constraint_text(entry: Entry) -> str:
    """`FOREIGN KEY (customer) REFERENCES customers(id)`: what follows the constraint's name."""
    words = tokens(entry.definition)
    at = next((place for place, token in enumerate(words) if token.name == "CONSTRAINT"), None)
    text = entry.definition
    return (text[words[at + 1].end :] if at is not None and at + 1 < len(words) else text).strip().rstrip(";")


_STATES = {"DISABLE": "disabled", "ENABLE ALWAYS": "always on", "ENABLE REPLICA": "on for replicas only"}


def _trigger(before: Entry, after: Entry) -> Words:
    old, new = (statements(entry.definition) for entry in (before, after))
    if old[:1] != new[:1]:
        yield from _other_text(" ".join(old[:1]), " ".join(new[:1]))
    was, now = (_trigger_state(one) for one in (old, new))
    if was != now:
        yield f"{was} becomes {now}"


def _trigger_state(said: list[str]) -> str:
    rest = " ".join(said[1:])
    return next((state for words, state in _STATES.items() if f" {words}" in rest), "enabled")


def _other_text(old: str, new: str) -> Words:
    """Two statements that begin alike, told from the first word in which they differ."""
    was, now = old.split(), new.split()
    same = next((place for place, pair in enumerate(zip(was, now, strict=False)) if pair[0] != pair[1]), len(now))
    yield f"{or_none(' '.join(was[same:]))} becomes {or_none(' '.join(now[same:]))}"


def _type(before: Entry, after: Entry) -> Words:
    old, new = (_values(entry) for entry in (before, after))
    if old is None or new is None:
        yield from _other(before, after)
        return
    yield from (f"adds value {shown(value)}" for value in new if value not in old)
    yield from (f"drops value {shown(value)}" for value in old if value not in new)
    if [value for value in old if value in new] != [value for value in new if value in old]:
        yield "its values stand in another order"


def _values(entry: Entry) -> list[str] | None:
    return enum_values(entry.definition)


def enum_values(definition: str) -> list[str] | None:
    """The values of an enum as literals; the columns of a composite type; None for other types."""
    words = tokens(definition)
    if [token.text for token in words[:2]] != ["CREATE", "TYPE"]:
        return None
    at = next((place for place, token in enumerate(words) if token.name == "AS"), len(words))
    opened = at + 2 if [token.text for token in words[at + 1 : at + 2]] == ["ENUM"] else at + 1
    if [token.text for token in words[opened : opened + 1]] != ["("]:
        return None
    return between(definition, words, opened)[0]


def _new_type(entry: Entry) -> Words:
    values = _values(entry)
    if values is not None:
        yield shown(", ".join(values))


_SEQUENCE = ("AS", "START", "INCREMENT", "MINVALUE", "MAXVALUE", "CACHE", "CYCLE", "GENERATED")


def sequence_options(definition: str) -> dict[str, str]:
    """`START` to `WITH 1` and so on; of an identity column also whether it is ALWAYS or BY DEFAULT."""
    text = definition.replace("NO MINVALUE", "MINVALUE NO").replace("NO MAXVALUE", "MAXVALUE NO")
    words = [token for token in tokens(text) if token.text != ";"]
    opened = next((place for place, token in enumerate(words) if token.text == "("), None)
    if opened is None:
        return clauses(text, _SEQUENCE)
    inner = text[words[opened].end : words[-1].start]
    return {**clauses(text[: words[opened].start], ("GENERATED",)), **clauses(inner, _SEQUENCE)}


def _sequence(before: Entry, after: Entry) -> Words:
    old, new = (sequence_options(entry.definition) for entry in (before, after))
    for opener in _SEQUENCE:
        was, now = old.get(opener), new.get(opener)
        if was != now:
            words = [or_none((value or "").removeprefix("WITH ").removeprefix("BY ")) for value in (was, now)]
            yield f"{opener.lower()}: {words[0]} becomes {words[1]}"


def _new_setting(entry: Entry) -> Words:
    yield shown(" ".join(entry.definition.split()).rstrip(";"))


def _comment(before: Entry, after: Entry) -> Words:
    yield f"{shown(_after_word(before, 'IS'))} becomes {shown(_after_word(after, 'IS'))}"


def _row_security(_entry: Entry) -> Words:
    yield "row level security is on"


_DIFFERENT: Mapping[str, Callable[[Entry, Entry], Words]] = {
    "table": _table,
    "foreign table": _table,
    "default": _default,
    "view": _view,
    "materialized view": _view,
    "function": _function,
    "procedure": _function,
    "policy": _policy,
    "index": _index,
    "invalid index": _index,
    "constraint": _constraint,
    "fk constraint": _constraint,
    "check constraint": _constraint,
    "trigger": _trigger,
    "event trigger": _trigger,
    "type": _type,
    "sequence": _sequence,
    "comment": _comment,
}
_CREATED: Mapping[str, Callable[[Entry], Words]] = {
    "table": _new_table,
    "foreign table": _new_table,
    "default": _new_default,
    "function": _new_function,
    "procedure": _new_function,
    "policy": _new_policy,
    "index": _new_index,
    "invalid index": _new_index,
    "constraint": _new_constraint,
    "fk constraint": _new_constraint,
    "check constraint": _new_constraint,
    "type": _new_type,
    "row security": _row_security,
    "comment": lambda entry: iter((shown(_after_word(entry, "IS")),)),
    "database setting": _new_setting,
    "role setting": _new_setting,
    "membership": _new_setting,
    "role": _new_setting,
}
