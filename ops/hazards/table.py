"""The page docs/hazards.md, printed from the rules themselves."""

from ops.hazards.finding import all_rules
from ops.hazards.model import HazardClass
from ops.hazards.model import Rule

_ABOUT = {
    HazardClass.DATA_LOSS: "Rows, columns or objects are gone.",
    HazardClass.ACCESS: "People can read or change more than before, or the platform's own objects change.",
    HazardClass.SECRETS: "A secret, or one project's address, stands in a file that runs everywhere.",
    HazardClass.LOCKS: "The application waits while a lock is held.",
    HazardClass.COMPATIBILITY: "Programs that use the database as it was break.",
    HazardClass.TRANSACTION: "The file cannot be undone as one, or fails half-way.",
    HazardClass.UNCHECKED: "Nobody could judge it.",
}
_INTRODUCTION = """# Hazards

A hazard is a named danger in a plan. `plan` and the card show it with its level, version, line and
rule; look the rule up here for its class and the safe way.

Levels rise from info over caution and danger to forbidden. A rule's level here is its highest; a milder case of it may
be shown lower. A plan with a forbidden hazard is shown, and its push is refused.

What the pending files created themselves is not dangerous to change, since nobody uses it yet. Statements inside DO
blocks are judged as well, as far as they are written out. `-- squawk-ignore` comments silence nothing.

This page is printed from the rules; do not edit it.
"""


def rules_page() -> str:
    """The page as Markdown: every rule with an example that it catches and what to do instead."""
    parts = [_INTRODUCTION]
    for hazard_class in HazardClass:
        rules = [each for each in all_rules() if each.hazard_class == hazard_class]
        parts.append(f"\n## {hazard_class.value}\n\n{_ABOUT[hazard_class]}\n")
        parts.append("\n| rule | level | for example | instead |\n| --- | --- | --- | --- |\n")
        parts += [_row(each) for each in rules]
    return "".join(parts)


def _row(rule: Rule) -> str:
    example = " ".join(rule.caught.split()).replace("|", "\\|")
    shown = f"`{example}`" if example else "–"
    return f"| `{rule.id}` | {rule.level.value} | {shown} | {rule.safe_way} |\n"
