"""The page docs/hazards.md and the module safe_ways.py, printed from the rules themselves."""

import json
import unicodedata

from ops.hazards.finding import all_rules
from ops.hazards.model import HazardClass
from ops.hazards.model import Rule

_ABOUT = {
    HazardClass.DATA_LOSS: "Rows, columns or whole objects are gone, or rows may contradict each other.",
    HazardClass.ACCESS: "People can read or change more than before, or the platform's own objects change.",
    HazardClass.SECRETS: "A secret stands in a file, and so in everybody's copy of the repository.",
    HazardClass.FOREIGN_PROJECT: "One project's address or key stands in a file that runs on several.",
    HazardClass.LOCKS: "The application waits while a lock is held.",
    HazardClass.REWRITE: "A table is written anew, row by row, and nobody can use it meanwhile.",
    HazardClass.IRREVERSIBLE: "No later migration can bring it back, although no row of a table is lost.",
    HazardClass.TRANSACTION: "The file cannot be undone as one, fails half-way, or leaves its session changed.",
    HazardClass.SIZE: "The file is too much for one transaction.",
    HazardClass.ENCODING: "Characters make the file look other than it is.",
    HazardClass.COMPATIBILITY: "Programs that use the database as it was break.",
    HazardClass.UNCHECKED: "Nobody could judge it.",
}
_INTRODUCTION = """# Hazards

A hazard is a named danger in a plan. `plan` and the card show it with its level, version, line and
rule; look the rule up here for its class and the safe way.

Levels rise from info over caution and danger to forbidden. A rule's level here is its highest; a milder case of it may
be shown lower. A plan with a forbidden hazard is shown, and its push is refused. Approvals can be asked for by class.

What the pending files created themselves is not dangerous to change, since nobody uses it yet; behind CREATE … IF NOT
EXISTS it may be older, so it is told as info. Statements inside DO blocks are judged as well, as far as they are written
out. `-- squawk-ignore` comments silence nothing.

Where a rehearsal has run, it knows better: what it shows stands in the message, a rewrite that did not happen and a
table that is small on the target become info, unless what takes long is something else. What a statement did and does
not say itself (by a function, a trigger, SQL that it builds) becomes a hazard whose rule ends in `-seen`, even if the
rehearsal failed later. Loss of data is never made milder, since it depends on rows that a copy may not have.

This page is printed from the rules; do not edit it.
"""
_SAFE_WAYS_BEGIN = '''"""The safe way of each rule, printed from the rules themselves; do not edit it."""

_RULES_AND_WAYS = ('''
_SAFE_WAYS_END = ''')

SAFE_WAYS = dict(zip(_RULES_AND_WAYS[::2], _RULES_AND_WAYS[1::2], strict=True))
"""By the id of the rule."""'''
_MOST_SHOWN = 200


def rules_page() -> str:
    """The page as Markdown: every rule with what it catches, what it leaves alone, and what to do instead."""
    parts = [_INTRODUCTION]
    for hazard_class in HazardClass:
        rules = [each for each in all_rules() if each.hazard_class == hazard_class]
        parts.append(f"\n## {hazard_class.value}\n\n{_ABOUT[hazard_class]}\n")
        parts.append("\n| rule | level | caught | left alone | instead |\n| --- | --- | --- | --- | --- |\n")
        parts += [_row(each) for each in rules]
    return "".join(parts)


def safe_ways_module() -> str:
    """The module safe_ways.py: what cards say beside a hazard, for processes that find none and so load no grammar."""
    pairs = sorted((each.id, each.safe_way) for each in all_rules())
    lines = [f"    {json.dumps(text, ensure_ascii=False)}," for pair in pairs for text in pair]
    return "\n".join([_SAFE_WAYS_BEGIN, *lines, _SAFE_WAYS_END, ""])


def _row(rule: Rule) -> str:
    return (
        f"| `{rule.id}` | {rule.level.value} | {_shown(rule.caught)} | {_shown(rule.left_alone)} | {rule.safe_way} |\n"
    )


def _shown(example: str) -> str:
    """An example on one line, hidden characters made visible, a very long one cut."""
    if not example:
        return "–"
    letters = " ".join(example.replace("\r", "\\r").split(" ")).replace("\n", " ")
    seen = "".join(one if one.isprintable() and not _is_hidden(one) else f"\\u{ord(one):04x}" for one in letters)
    cut = seen if len(seen) <= _MOST_SHOWN else f"{seen[:_MOST_SHOWN]}…"
    return f"`{cut.strip()}`".replace("|", "\\|")


def _is_hidden(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cf", "Zs") and letter != " "
