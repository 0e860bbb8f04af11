"""The people behind a CI job that asks: what the job says of them. Nothing proves it, so it can only bar, never allow."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from audit import Draft
from audit import View
from ops.repository import Author
from ops.requests import Request
from ops.settings import Settings


def logins_behind_act(view: View, act: str) -> list[str]:
    """The logins that a typed line says started the job that it is said in; empty where it is said in none."""
    said = next((event for event in view.act(act) if event.kind == "commanded"), None)
    return list((said.data or {}).get("behind") or ()) if said is not None else []


def with_people_behind(settings: Settings, view: View, draft: Draft, act: str) -> Draft:
    """A `requested` event with the people behind the act that asks: those whom [people] knows under `behind`, the others
    among the unknown authors. What the event holds of them already stays."""
    logins = logins_behind_act(view, act)
    if not logins:
        return draft
    known = {login: settings.known_author(login) for login in logins}
    data: dict[str, Any] = dict(draft.data)
    data["behind"] = sorted({*data.get("behind", ()), *(who for who in known.values() if who)})
    unknown = (login for login, who in known.items() if not who)
    data["unknown_authors"] = sorted({*data["unknown_authors"], *unknown})
    return replace(draft, data=data)


def with_those_behind(
    settings: Settings, draft: Draft, older: Sequence[Request], authors: Sequence[Author] = ()
) -> Draft:
    """A `requested` event with everybody who was behind the requests whose place it takes: asking again lets nobody in.

    So it is with their unknown authors, but for those who wrote commits of the new plan (`authors`), which says itself
    whether they are known, and those whom [people] knows by now.
    """
    anew = {one.name or one.email for one in authors}
    logins = {who for one in older for who in one.unknown_authors} - anew
    known = {who: settings.known_author(who) for who in logins}
    behind = {*(who for one in older for who in one.behind), *(who for who in known.values() if who)}
    unknown = {who for who in logins if not known[who]}
    data: dict[str, Any] = dict(draft.data)
    data |= {"behind": sorted({*data.get("behind", ()), *behind})} if behind else {}
    data |= {"unknown_authors": sorted({*data["unknown_authors"], *unknown})} if unknown else {}
    return replace(draft, data=data)
