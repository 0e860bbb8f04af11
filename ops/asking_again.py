"""What to type to ask for a request again, by its kind; and what to do where it no longer holds."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ops.blockers import pid_text
from ops.requests import PUSH
from ops.requests import Request


def again_of(request: Request) -> str:
    """The words that ask for the same once more."""
    return _AGAIN[request.kind](request)


def hint_after_change(request: Request, changed: Sequence[str]) -> str:
    """What to do when `changed` is no longer as it was asked for."""
    if request.kind == "terminate" and any(one.startswith("the session") for one in changed):
        return "It has ended by itself: nothing is to be done."
    first = "Make a new plan and ask again" if request.kind == PUSH else "Ask again"
    return f"{first}: `{again_of(request)}`."


def _facts(request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.plan["facts"]
    return found


def _versions(request: Request) -> str:
    return " ".join(str(one["version"]) for one in request.files)


def _restore(request: Request) -> str:
    way = _facts(request)
    if request.of is not None and way.get("way") != "restore":
        return f"rollback {request.of}"
    return f"restore {way['backup']['id']} --to {request.environment}"


def _restore_managed(request: Request) -> str:
    options = {"pitr": "to", "backup": "managed", "point": "point"}
    facts = _facts(request)
    return f"restore {request.environment} --{options[str(facts['way'])]} {facts['to']}"


def _record(request: Request) -> str:
    by, because = (str(_facts(request)[name]).replace('"', "'") for name in ("by", "because"))
    return f'record {request.environment} {_versions(request)} --by "{by}" --because "{because}"'


_AGAIN: Mapping[str, Callable[[Request], str]] = {
    "push": lambda one: f"push {one.environment}",
    "adopt": lambda one: f"adopt {one.environment}",
    "resume": lambda one: f"resume {one.of}",
    "rollback": lambda one: f"rollback {one.of}",
    "restore": _restore,
    "cleanup": lambda one: f"clean up {one.of or one.environment}",
    "repair": lambda one: f"repair {one.environment} {_facts(one)['as']} {_versions(one)}",
    "record": _record,
    "restore_managed": _restore_managed,
    "reset": lambda one: f"reset {one.environment}",
    "secrets": lambda one: f"secrets {one.environment} {_facts(one)['how']} {_facts(one)['secret']}",
    "functions": lambda one: f"functions {one.environment} {_facts(one)['how']} {_facts(one)['function']}",
    "terminate": lambda one: f"terminate {one.environment} {pid_text(int(_facts(one)['pid']))}",
}
