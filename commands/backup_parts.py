"""What pages and programs read of a backup."""

from collections.abc import Mapping
from typing import Any

from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Part
from ops.backups import Backup

NAMES_SHOWN = 12

_NOTES = (
    ("Not in any dump, so not in this backup", "not_held"),
    ("Expected and explained while restoring", "expected_errors"),
    ("Stood in for while restoring", "stand_ins"),
)


def backup_json(backup: Backup) -> dict[str, Any]:
    """A backup for programs. `state` is removed, missing (gone, or of another size) or there."""
    return {
        "backup": backup.id,
        "target": backup.target,
        "request": backup.request,
        "by": backup.by.id,
        "taken_at": backup.taken_at.isoformat(),
        "level": backup.level,
        "state": state_of(backup),
        "proof": dict(backup.proof),
    }


def state_of(backup: Backup) -> str:
    if backup.is_removed:
        return "removed"
    return "there" if backup.is_there else "missing"


def seal_facts(backup: Backup) -> list[tuple[str, Line]]:
    """For which keys it is sealed; nothing where it is not."""
    if not backup.sealed_for:
        return []
    keys: list[Any] = []
    for number, key in enumerate(backup.sealed_for):
        keys += [*([" and "] if number else []), Code(key)]
    return [("Sealed for", tuple(keys))]


def note_parts(proof: Mapping[str, Any]) -> list[Part]:
    """What a backup does not hold, and what is known of restoring it."""
    parts: list[Part] = []
    for title, key in _NOTES:
        names = [str(name) for name in proof.get(key) or ()]
        if names:
            lines: list[Line] = [(name,) for name in names[:NAMES_SHOWN]]
            parts.append(Listing(f"{title} ({len(names)})", lines))
    return parts
