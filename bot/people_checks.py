"""Doctor's questions to Slack about people: who wrote migrations and is in nobody's [people], who can change a group."""

import json
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from commands.doctor import Check
from ops.repository import Author

SHOWN = 20
"""So many unknown people are proposed one by one."""

EMAIL_SCOPE = "users:read.email"
"""Granted by whoever wants proposals with Slack ids; nothing else uses it."""

CANNOT_SAY = (
    "Slack's API does not say who may edit user groups; see that Roles & permissions › Create and edit user groups is left "
    "to owners and admins"
)
"""https://slack.com/help/articles/115004952926 (read 2026-11-23): by default only they may; it can be opened to all."""


async def people_checks(client: AsyncWebClient, unknown: Sequence[Author], granted: Iterable[str]) -> list[Check]:
    """A line for [people] for everybody whom it does not know, with the Slack id of their e-mail address where Slack may be
    asked; a proposal only, since anybody can write any address into a commit."""
    may_ask = EMAIL_SCOPE in set(granted)
    checks = [await _proposal(client, author, may_ask) for author in unknown[:SHOWN]]
    if len(unknown) > SHOWN:
        checks.append(Check("warning", "[people]", f"{len(unknown) - SHOWN} more who wrote migrations are not in it"))
    return checks or [Check("ok", "[people]", "knows everybody who wrote a migration")]


async def _proposal(client: AsyncWebClient, author: Author, may_ask: bool) -> Check:
    name = author.name or "somebody without a name"
    key = json.dumps(author.email or author.name, ensure_ascii=False)
    found = await _slack_id(client, author.email) if may_ask and author.email else None
    words = f"{name} wrote a migration and is not in it, so could approve their own work"
    if found is None:
        how = "" if may_ask else f" (with the scope {EMAIL_SCOPE} the id is looked up)"
        return Check("warning", "[people]", f'{words}; if it is somebody here, add {key} = "U…"{how}')
    return Check("warning", "[people]", f'{words}; if it is {found[1]}, add {key} = "{found[0]}"')


async def _slack_id(client: AsyncWebClient, email: str) -> tuple[str, str] | None:
    """The id and the name of whoever has this address in Slack; None: nobody, or Slack does not say."""
    try:
        user: dict[str, Any] = (await client.users_lookupByEmail(email=email)).get("user") or {}
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError):
        return None
    return (str(user["id"]), str(user.get("real_name") or user["id"])[:80]) if user.get("id") else None


def in_vain(rule: str, without: Sequence[str]) -> str:
    """That a yes takes codes which too few can give, for the rule of this name; `without`: who has no second factor."""
    named = ", ".join(without[:SHOWN]) + (f" and {len(without) - SHOWN} more" if len(without) > SHOWN else "")
    do = f"none has {named}; `countersign enrol {without[0]}` with them" if without else "nobody in Slack is named"
    return f"approvals take one-time codes, and of its {rule} too few can give one, so requests wait in vain: {do}"


async def group_editing(
    client: AsyncWebClient, groups: Sequence[Mapping[str, Any]], approvers: Iterable[str]
) -> list[Check]:
    """Whether ordinary members can make themselves approvers. Slack tells only who changed a group last: where that is
    neither an owner nor an admin, they can."""
    wanted = set(approvers)
    checks: list[Check] = []
    for group in groups:
        handle, who = f"@{group.get('handle')}", group.get("updated_by")
        if handle not in wanted or not who or not await _is_ordinary(client, str(who)):
            continue
        words = f"was changed last by {who}, who is no admin: ordinary members can make themselves approvers"
        checks.append(Check("warning", f"group {handle}", f"{words}. {CANNOT_SAY}"))
    return checks or ([Check("ok", "who may edit groups", CANNOT_SAY)] if wanted else [])


async def _is_ordinary(client: AsyncWebClient, user: str) -> bool:
    """Whether Slack says that this person is neither an owner nor an admin; what it does not say accuses nobody."""
    try:
        found: dict[str, Any] = (await client.users_info(user=user)).get("user") or {}
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError):
        return False
    return not found.get("is_bot") and found.get("is_admin") is False and found.get("is_owner") is False
