"""What became of the functions of a run, as its request's events tell it."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from audit import Event

DONE, UNKNOWN, LEFT = "done", "unknown", "left"


def planned_functions(plan: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The functions of a plan that something is done about, as `FunctionChange.to_json` wrote them; most have none."""
    found: Sequence[Mapping[str, Any]] = plan.get("functions") or ()
    return found


def outcomes_of(events: Iterable[Event], plan: Mapping[str, Any]) -> dict[str, str]:
    """What became of each function of the plan: done, left (what ran still runs), or unknown (it was sent)."""
    found = {str(one["slug"]): LEFT for one in planned_functions(plan)}
    for event in events:
        data = event.data or {}
        match event.kind:
            case "function_deploy_sent" if data["how"] != "bundle":
                found |= {slug: UNKNOWN for slug in data["slugs"] if found.get(slug) != DONE}
            case "function_deploy_failed":
                found[data["slug"]] = LEFT if data["outcome"] == "not_there" else UNKNOWN
            case "function_deployed":
                found[data["slug"]] = DONE
    return found


def grouped(outcomes: Mapping[str, str]) -> dict[str, list[str]]:
    """The names by outcome, as the ending of a run keeps them; empty where the run had no functions."""
    found: dict[str, list[str]] = {}
    for slug, outcome in sorted(outcomes.items()):
        found.setdefault(outcome, []).append(slug)
    return found


def was_sent(events: Iterable[Event]) -> bool:
    """Whether anything may be on the project: something that can start a function, or end one, was sent."""
    return any(event.kind == "function_deploy_sent" and (event.data or {})["how"] != "bundle" for event in events)
