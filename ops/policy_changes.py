"""What differs between two policies, rule by rule, and what becomes of requests that rest on the old one."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from audit import Draft
from audit import View
from ops.errors import OpsError
from ops.layer import Ops
from ops.people import Actor
from ops.requests import Request
from ops.requests import find_request
from ops.requests import open_requests
from ops.status import Status

SHOWN_CHARACTERS = 80
"""So much of a value is said in words; the `configured` event has all of it."""

_NOT_CONFIGURED = "the configuration, which no longer has this environment"


_WORDS = {
    "after": "where it has to have run before",
    "approvals": "approvals",
    "approvers": "approvers",
    "backup": "backup",
    "confirm": "how a yes is confirmed",
    "expires_seconds": "time for deciding",
    "exposed_schemas": "schemas that the API reaches",
    "for": "only for",
    "freezes": "freezes",
    "health": "health checks",
    "health, in order": "health checks",
    "hotfix": "who may pass windows and freezes",
    "hotfix_passes": "which freezes a hotfix passes",
    "isolation": "isolation of rehearsals",
    "management_api": "the address of the Management API",
    "overriders": "who may override in an emergency",
    "project_url": "the address of the project",
    "refused": "refused",
    "rehearsal": "rehearsal",
    "requesters": "requesters",
    "rules, in order": "rules",
    "second_factor": "one-time code",
    "tables": "tables that must be readable",
    "prune": "whether functions that are gone from the commit are deleted",
    "smoke": "how functions are called once they are deployed",
    "timeout_seconds": "patience in seconds",
    "unknown_authors": "unknown authors",
    "windows": "windows",
    "with_data": "rehearsal with data",
}
"""What people call what the configuration calls so; anything else is said as it is written there."""

_WITHIN = {"hazards": "for", "health": "of the health check", "rules": "of the rule"}


@dataclass(frozen=True)
class Change:
    """One rule of a policy, as `hazards.data_loss.approvals`, with both values as JSON. None: it was, or is, not said."""

    rule: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self._named()} {self._words(self.old)} → {self._words(self.new)}"

    def _named(self) -> str:
        """What is meant, for people: `for data_loss, approvals`."""
        table, _, rest = self.rule.partition(".")
        name, _, key = rest.rpartition(".")
        if table in _WITHIN and name:
            return f"{_WITHIN[table]} {name}, {_WORDS.get(key, key)}"
        return _WORDS.get(self.rule, self.rule)

    def _words(self, value: Any) -> str:
        if value is None and (isinstance(self.old, bool) or isinstance(self.new, bool)):
            return "no"
        if self.rule == "expires_seconds" and isinstance(value, int):
            return _length(value)
        return _words(value)

    def to_json(self) -> dict[str, Any]:
        return {"rule": self.rule, "old": self.old, "new": self.new}


def policy_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    """Every rule that differs, in the order of the policies; empty where they ask for the same."""
    before, after = dict(_rules(old)), dict(_rules(new))
    names = dict.fromkeys((*before, *after))
    return tuple(
        Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def changes_message(changes: Sequence[Change]) -> str:
    """As the card of a request names what changed: `the policy (approvals 1 → 2)`."""
    return f"the policy ({'; '.join(map(str, changes))})" if changes else "the policy"


def _rules(policy: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with the names that lead to it; what is listed by name stands under that name."""
    for name, value in policy.items():
        place = f"{before}{name}"
        if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
            yield from _rules(
                {one["name"]: {k: v for k, v in one.items() if k != "name"} for one in value}, f"{place}."
            )
            yield f"{place}, in order", [one["name"] for one in value]
        elif isinstance(value, dict) and value:
            yield from _rules(value, f"{place}.")
        elif value not in ([], {}, None):
            yield place, value


def _words(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def _text(value: Any) -> str:
    """A value as people write it: a list with commas, a freeze as its two moments and why."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(_text, value))
        case {"from": since, "to": to, "because": because}:
            return f"{since} to {to} ({because})"
        case dict():
            return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
        case _:
            return str(value)


def _length(seconds: int) -> str:
    """A length of time without what it has none of: `2 h`, `1 h 30 min`."""
    minutes, rest = divmod(seconds, 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def void_outdated(ops: Ops) -> list[Request]:
    """End every waiting request whose policy is not the one that holds now, and say what changed; what it then is.

    A request that runs is left alone: its run asks by itself whether it may go on.
    """
    found: list[Request] = []
    for request in open_requests(ops.view):
        if request.status_at(ops.now()) is Status.WAITING and (changed := _outdated(ops, request)):
            _void(ops, request, changed)
            found.append(find_request(ops.view, request.id))
    return found


def _outdated(ops: Ops, request: Request) -> str:
    try:
        policy = ops.target_of(request).settings.policy()
    except OpsError:
        return _NOT_CONFIGURED
    asked = request.plan.get("policy") or {}
    return changes_message(policy_changes(asked, policy)) if asked != policy else ""


def _void(ops: Ops, request: Request, changed: str) -> None:
    message = f"Since {request.id} was made, this changed: {changed}. Nothing was run."

    def decide(view: View) -> Sequence[Draft]:
        fresh = find_request(view, request.id)
        if fresh.status is not Status.WAITING:
            return []
        data = {"changed": [changed], "message": message, "by": None}
        return [ops.draft("superseded", Actor("system:policy"), fresh, data)]

    ops.log.transact(decide)
