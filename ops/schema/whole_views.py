"""Views that a dump makes in two steps, put together again.

A view that needs what needs the view (its GROUP BY a primary key, say) is dumped as one without rows first, and gets
its query later as a rule named _RETURN. People know one view.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ops.schema.model import Entry
from ops.schema.model import Key

_RULE = " _RETURN"


def with_whole_views(entries: Mapping[Key, Entry]) -> Mapping[Key, Entry]:
    """The same without such rules: their views have the whole definition, and stand where the rules stood."""
    rules = {
        Key("view", key.schema, key.name.removesuffix(_RULE)): entry
        for key, entry in entries.items()
        if key.kind == "rule" and key.name.endswith(_RULE) and entry.definition.startswith("CREATE OR REPLACE VIEW ")
    }
    rules = {view: rule for view, rule in rules.items() if view in entries}
    if not rules:
        return entries
    of_rule = {rule.key: view for view, rule in rules.items()}
    found = {
        key: _told_of_view(_whole(entry, rules.get(key)), of_rule)
        for key, entry in entries.items()
        if key not in of_rule
    }
    order = _order(entries, found, of_rule)
    return MappingProxyType({key: replace(found[key], place=place) for place, key in enumerate(order)})


def _whole(view: Entry, rule: Entry | None) -> Entry:
    if rule is None:
        return view
    definition = rule.definition.replace("CREATE OR REPLACE VIEW ", "CREATE VIEW ", 1)
    needs = dict.fromkeys(need for need in (*view.needs, *rule.needs) if need != view.key)
    return replace(view, definition=definition, needs=tuple(needs))


def _told_of_view(entry: Entry, of_rule: Mapping[Key, Key]) -> Entry:
    """What needs the rule needs the view."""
    if not of_rule.keys() & {*entry.needs, entry.parent}:
        return entry
    needs = tuple(dict.fromkeys(of_rule.get(need, need) for need in entry.needs))
    return replace(entry, needs=needs, parent=of_rule.get(entry.parent, entry.parent) if entry.parent else None)


def _order(entries: Mapping[Key, Entry], found: Mapping[Key, Entry], of_rule: Mapping[Key, Key]) -> list[Key]:
    """In which order they can be made: a view, and all that needs it, wait for the place of its rule."""
    without_query = set(of_rule.values())
    made: list[Key] = []
    late: list[Key] = []

    def must_wait(key: Key) -> bool:
        return key in without_query or not {*found[key].needs, found[key].parent}.isdisjoint(late)

    for key in entries:
        if key in of_rule:
            without_query.discard(of_rule[key])
            again, late = late, []
            for one in again:
                (late if must_wait(one) else made).append(one)
        else:
            (late if must_wait(key) else made).append(key)
    return [*made, *late]
