"""Which parts of a plan are no longer as they were, in words for people."""

from collections.abc import Mapping
from typing import Any

_PARTS = {
    "commit": "the commit",
    "files": "the files",
    "functions": "the functions on the target",
    "policy": "the policy",
    "expected": "what the rehearsal showed",
    "target": "the target",
    "kind": "the kind",
    "format": "the plan's format",
}
_FINGERPRINT_PARTS = {
    "history_sha256": "the target's migration history",
    "schema_sha256": "the target's schema",
}


def changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which parts of a canonical plan differ, in words for people: "the target's schema", "the policy"…"""
    parts = [words for key, words in _PARTS.items() if before.get(key) != after.get(key)]
    old, new = before.get("fingerprint", {}), after.get("fingerprint", {})
    parts += [
        _FINGERPRINT_PARTS.get(key, f"the target's identity ({key})")
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    return parts
