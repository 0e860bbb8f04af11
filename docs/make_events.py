"""Prints docs/events.md from the models of all kinds of events: python docs/make_events.py > docs/events.md

Every kind must be in a group of docs/event_groups.py, which a test holds.
"""

import json
import runpy
import types
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from audit import KINDS
from audit.data import Data

_GROUPS = runpy.run_path(str(Path(__file__).with_name("event_groups.py")))

_HEAD = """\
# Events

Every kind of event that the log may hold, what each says, who is its actor, and which controls it serves. The list is closed:
the log refuses what is not on it. Printed by `python docs/make_events.py > docs/events.md` from the models in `audit/`.

Each event has these columns beside its own `data` (view `events`): `seq` counts all from 1 without gaps; `id` is the act it
belongs to; `at` is UTC and never decreases; `kind`; `actor` (`slack:T…/U…`, `os:<host>/<login>`, `system:<part>`);
`project`, `environment` and `request`, where it is about one; `stream` and `place`, the order within a request, a target, or
what people said; `commitment`, a salted hash of the data; `previous` and `hash`, the chain; see
[how it is proven](audit-log.md).

What is done has two events at least: the intent before it, the result after it. Texts are masked before they are recorded.

## What is recorded, and what is not

- Everything that is typed to the bot or at the terminal (`commanded`) and pressed (`clicked`), before it is answered, and how
  it was answered. Clicks that come faster than a person presses are counted; one `refused` tells how many there were.
- Every refusal with its reason code, every decision with the facts and rules it rests on, and the digest that it is about.
- Every look at the log: by a word, by `audit …` at the terminal (also while the bot has the log: the bot writes it down, or
  nothing is shown), by a page of `audit serve`; and each copy that is given out.
- The names of secrets (`configured`), never what they hold.
- Not recorded: Tab at the shell, `countersign help` without a log, `lint` of files, `doctor`, the bot's home page in Slack; a
  file that somebody reads past Countersign, which the system's own audit has to tell; and a look at a log that nobody can
  write any more (damaged, a copy), which says itself that it is not recorded.

## Controls

"""

_BY_NAME: Mapping[str, Any] = {
    "digest": "80de4b…",
    "sha256": "b476b7…",
    "commit": "9249c51638d4",
    "because": "the release waits for it",
    "message": "R-7 is running already.",
    "until": "2026-11-22T15:00:00+00:00",
    "expires_at": "2026-11-23T13:52:01+00:00",
    "version": "20261109101500",
    "step": "migrate",
    "actor": "slack:T0ACME/U0ANA",
    "user": "U0ANA",
    "request": "R-7",
    "query": "env:prod kind:approved",
    "to": ["U0BEN"],
    "table": "public.orders",
    "value": "approve R-7 80de4b1c77aa0d21",
    "verb": "approve",
    "word": "push",
    "reason": "not_an_approver",
    "text": "push prod",
    "arguments": ["prod"],
    "key": "acme+55dd2e47+AR…",
    "where": "slack:C0AUDIT",
    "ref": "1763819521.000100",
    "kind": "push",
    "month": "2026-10",
}
_BY_TYPE: Mapping[Any, Any] = {str: "…", int: 3, float: 1.5, bool: True, Any: {}}


def document() -> str:
    """The whole document. Raises KeyError that names a kind which is in no group, or in one and none any more."""
    groups = _GROUPS["GROUPS"]
    grouped = [kind for group in groups for kind in group.kinds]
    if missing := set(KINDS) ^ set(grouped):
        raise KeyError(f"docs/event_groups.py and audit/kinds.py differ in: {', '.join(sorted(missing))}")
    controls = "".join(f"| {name} | {what} |\n" for name, what in _GROUPS["CONTROLS"].items())
    parts = [_HEAD, f"| control | what it asks for |\n| --- | --- |\n{controls}"]
    for group in groups:
        served = ", ".join(group.controls)
        parts.append(f"\n## {group.title}\n\nServes {served}.\n")
        parts += [_kind(kind, group.who_of(kind)) for kind in group.kinds]
    parts.append("\nSee also: [the audit log](audit-log.md), [the log as a library](audit-library.md)\n")
    return "".join(parts)


def _kind(kind: str, who: str) -> str:
    model = KINDS[kind]
    said = " ".join((model.__doc__ or "").split())
    fields = "".join(f"| `{name}` | {form} | {default} |\n" for name, form, default in _fields(model))
    table = f"| field | form | if left out |\n| --- | --- | --- |\n{fields}" if fields else "It has no fields.\n"
    shown = json.dumps(example(kind), ensure_ascii=False)
    return f"\n### {kind}\n\n{said}\n\nActor: {who}.\n\n{table}\n```json\n{shown}\n```\n"


def _fields(model: type[Data]) -> Iterator[tuple[str, str, str]]:
    hints = get_type_hints(model)
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else json.dumps(field.get_default(call_default_factory=True))
        yield name, _form(hints[name]), f"`{default}`" if default else "never left out"


def _form(hint: Any) -> str:
    """A type in words that need no Python."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        return " or ".join(map(_form, inner))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is list:
        return f"list of {_form(inner[0])}"
    if origin is dict:
        return f"object of {_form(inner[1])}" if inner[1] is not Any else "object"
    names = {str: "text", int: "number", float: "number", bool: "true or false", type(None): "null", Any: "anything"}
    return names[hint]


def example(kind: str) -> dict[str, Any]:
    """Data that such an event could have: made up from the names and forms of its fields."""
    hints = get_type_hints(KINDS[kind])
    return {name: _made_up(name, hints[name]) for name in KINDS[kind].model_fields}


def _made_up(name: str, hint: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {types.UnionType, Union}:
        return _made_up(name, inner[0])
    if origin is Literal:
        return inner[0]
    named = _BY_NAME.get(name)
    if origin is list:
        return named if isinstance(named, list) else [_made_up("", inner[0])]
    if origin is dict:
        return {} if inner[1] is Any else {"…": _made_up("", inner[1])}
    return (
        named if isinstance(named, hint if isinstance(hint, type) else object) and named is not None else _BY_TYPE[hint]
    )


if __name__ == "__main__":
    print(document(), end="")
