"""What changes in a schema, as parts of a page: in a few lines, the worst first, and letter by letter as a diff."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import groupby

from commands.page import Difference
from commands.page import Line
from commands.page import Listing
from commands.page import Paragraph
from commands.page import Part
from commands.page import Strong
from commands.page_words import plural
from commands.page_words import shortened
from ops.rehearsal.report import ChangedObject
from ops.schema.naming import kind_words
from ops.schema.naming import name_words

CHANGES_SHOWN = 8
NAMED_TOGETHER = 3
"""So many objects of one kind stand in one line; who reads a hundred of them wants to see the other kinds too."""

NAME_LETTERS = 90
WORDS_LETTERS = 120

_VERBS = {"dropped": "drops", "changed": "changes", "created": "creates"}
"""The kinds of change, the worst first, as they stand before what is changed."""

_FIRST = ("schema", "table", "view", "materialized view", "foreign table", "type", "domain", "function", "policy")
"""Kinds that people look for, in this order; the others follow by name."""

_QUIET = frozenset({"acl", "default acl", "comment", "sequence owned by", "security label"})
"""What comes with other objects, and stands below them."""


def changes_text(changes: Sequence[ChangedObject], left_out: int = 0) -> str:
    """How much changes: `1 dropped, 3 created`. `left_out`: so many more are there of which nobody here knows how."""
    counts = Counter(one.change for one in changes)
    words = [f"{counts[change]:,} {change}" for change in _VERBS if counts[change]]
    return ", ".join([*words, *([f"{left_out:,} more"] if left_out else [])]) or "nothing"


def changes_parts(
    changes: Sequence[ChangedObject], most: int | None, everything: Line = (), left_out: int = 0
) -> list[Part]:
    """What changes, by kind. `most`: so many lines, None: one for each object; `everything`: where all of them are."""
    if not changes:
        return [Paragraph((Strong("Schema changes: "), "none"))]
    ranked = sorted(changes, key=_rank)
    marked = [_alone(one) for one in ranked] if most is None else list(_together(ranked))
    shown = marked[:most]
    lines, marks = [line for _, line, _ in shown], [mark for mark, _, _ in shown]
    more = sum(count for _, _, count in marked[len(shown) :]) + left_out
    if more:
        lines.append((plural(more, "object"), *(("; ", *everything) if everything else ())))
        marks.append("more")
    return [Listing(f"Schema changes: {changes_text(changes, left_out)}", lines, marks)]


def difference_part(text: str, most: int | None = None) -> list[Part]:
    """The unified diff, of which only the first `most` lines; nothing where there is none."""
    if not text:
        return []
    lines = text.splitlines()
    title = "Difference" if most is None or len(lines) <= most else f"Difference, the first {most} lines"
    return [Difference(title, "\n".join(lines[:most]))]


def change_json(one: ChangedObject) -> Mapping[str, str]:
    """One change as the contract prints it."""
    return {"change": one.change, "kind": one.kind, "schema": one.schema, "name": one.name, "words": one.words}


def _rank(one: ChangedObject) -> tuple[bool, int, int, str, str, str]:
    order = list(_VERBS)
    # A change that only another version knows stands first, where nobody overlooks it.
    place = order.index(one.change) if one.change in order else -1
    kind = _FIRST.index(one.kind) if one.kind in _FIRST else len(_FIRST)
    return one.kind in _QUIET, place, kind, one.kind, one.schema, one.name


def _together(ranked: Sequence[ChangedObject]) -> Iterator[tuple[str, Line, int]]:
    """Lines with their marks, and of how many objects each tells: what is created or dropped by kind, else one by one."""
    for (change, kind), found in groupby(ranked, key=lambda one: (one.change, one.kind)):
        group = list(found)
        if change == "changed" or len(group) == 1:
            yield from map(_alone, group)
            continue
        names = ", ".join(_named(one) for one in group[:NAMED_TOGETHER])
        more = f" and {len(group) - NAMED_TOGETHER:,} more" if len(group) > NAMED_TOGETHER else ""
        yield _VERBS.get(change, change), (f"{len(group):,} × {kind_words(kind)} {names}{more}",), len(group)


def _alone(one: ChangedObject) -> tuple[str, Line, int]:
    return _VERBS.get(one.change, one.change), (f"{kind_words(one.kind)} {_named(one)}",), 1


def _named(one: ChangedObject) -> str:
    """The object's name and how it changes, each as long as there is room for."""
    name = shortened(name_words(one), NAME_LETTERS)
    return f"{name} ({shortened(one.words, WORDS_LETTERS)})" if one.words else name
