"""Doctor's questions to Slack: tokens, scopes, is the bot in the channel, are the groups there."""

import asyncio
import os
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from audit import AuditError
from audit import Reader
from bot.app import SLACK_URL
from bot.people_checks import group_editing
from bot.people_checks import in_vain
from bot.people_checks import people_checks
from bot.slack_api import error_word
from commands.doctor import Check
from ops.enrolled import enrolled_people
from ops.enrolled import too_few
from ops.environment import Environment
from ops.repository import Author
from ops.settings import Settings
from ops.targets import all_targets
from ops.unknown_people import unknown_people

SCOPES = {
    "channels:read": "",
    "chat:write": "",
    "commands": "",
    "files:read": "",
    "files:write": "",
    "im:write": "",
    "usergroups:read": "",
    "users:read": "",
    "app_mentions:read": "@Countersign in a thread is not heard",
    "groups:read": "no card can go to a private channel",
}
"""The scopes of the manifests, and what does not work without those that can be missed."""


def slack_checks(settings: Settings) -> Iterator[Check]:
    """What Slack says about the tokens in the environment."""
    if settings.slack is None:
        yield Check("warning", "Slack", "no [slack] table, so there is no bot; the terminal works without")
        return
    token = os.environ.get("SLACK_BOT_TOKEN", "")
    if not token:
        yield Check("problem", "SLACK_BOT_TOKEN", "not set; docs/slack.md says where it is found")
        yield asyncio.run(_app_token(os.environ.get("SLACK_API_URL") or SLACK_URL))
        return
    yield from asyncio.run(_ask(settings, token, unknown_people(settings)))
    yield from asyncio.run(_second_factors(settings, token))


async def _ask(settings: Settings, token: str, unknown: Sequence[Author]) -> list[Check]:
    url = os.environ.get("SLACK_API_URL") or SLACK_URL
    client = AsyncWebClient(token=token, base_url=url, timeout=10)
    try:
        answer = await client.auth_test()
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
        return [Check("problem", "SLACK_BOT_TOKEN", _word(error)), await _app_token(url)]
    checks = [Check("ok", "SLACK_BOT_TOKEN", f"{answer.get('user')} in {answer.get('team')}")]
    granted = {scope.strip() for scope in str(answer.headers.get("x-oauth-scopes", "")).split(",") if scope.strip()}
    for scope in sorted(SCOPES.keys() - granted) if granted else []:
        checks.append(Check("warning" if SCOPES[scope] else "problem", f"scope {scope}", SCOPES[scope] or "missing"))
    checks += [await _app_token(url), *(await _channels(settings, client)), *(await _groups(settings, client))]
    return [*checks, *(await people_checks(client, unknown, granted))]


async def _app_token(url: str) -> Check:
    token = os.environ.get("SLACK_APP_TOKEN", "")
    if not token:
        found = "set" if os.environ.get("SLACK_SIGNING_SECRET") else "not set"
        state: Any = "ok" if found == "set" else "problem"
        return Check(state, "SLACK_APP_TOKEN", f"not set; for --http SLACK_SIGNING_SECRET is needed, which is {found}")
    try:
        await AsyncWebClient(base_url=url, timeout=10).apps_connections_open(app_token=token)
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
        return Check("problem", "SLACK_APP_TOKEN", _word(error))
    return Check("ok", "SLACK_APP_TOKEN", "opens connections")


async def _channels(settings: Settings, client: AsyncWebClient) -> list[Check]:
    names = {project.channel for project in settings.projects.values() if project.channel}
    checks = []
    if settings.slack is not None:
        names |= {one for one in (settings.slack.channel, settings.slack.emergency_channel) if one is not None}
    for channel in sorted(names):
        try:
            found: dict[str, Any] = (await client.conversations_info(channel=channel)).get("channel", {})
        except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
            checks.append(Check("problem", f"channel {channel}", _word(error)))
            continue
        if found.get("is_ext_shared"):
            checks.append(Check("problem", f"channel {channel}", "is shared with another company: no card goes there"))
        elif not found.get("is_member"):
            checks.append(Check("problem", f"channel {channel}", "the bot is not in it: /invite @Countersign there"))
        else:
            checks.append(Check("ok", f"channel {channel}", f"#{found.get('name')}"))
    return checks


async def _groups(settings: Settings, client: AsyncWebClient) -> list[Check]:
    handles = {entry for target in all_targets(settings) for entry in _named(target.settings) if entry.startswith("@")}
    if not handles:
        return []
    try:
        groups = (await client.usergroups_list()).get("usergroups") or []
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
        return [Check("problem", "user groups", _word(error))]
    known = {f"@{group.get('handle')}" for group in groups if not group.get("date_delete")}
    approvers = {who for target in all_targets(settings) for who in _approvers(target.settings) if who in known}
    return [
        *(await group_editing(client, groups, approvers)),
        *(
            Check("ok", f"group {handle}", "is there")
            if handle in known
            else Check("problem", f"group {handle}", "Slack has no such user group, or it is disabled")
            for handle in sorted(handles)
        ),
    ]


async def _second_factors(settings: Settings, token: str) -> list[Check]:
    """Whether enough people have a second factor wherever a yes takes one-time codes."""
    targets = [target for target in all_targets(settings) if target.settings.takes_codes]
    if not targets or not settings.log_path.exists():
        return []
    client = AsyncWebClient(token=token, base_url=os.environ.get("SLACK_API_URL") or SLACK_URL, timeout=10)
    try:
        enrolled = enrolled_people(Reader(settings.log_path))
        groups = (await client.usergroups_list(include_users=True)).get("usergroups") or []
    except (SlackApiError, AuditError, aiohttp.ClientError, TimeoutError, OSError):
        return []  # told where Slack's groups and the log are looked at
    members = {f"@{group.get('handle')}": group.get("users") or [] for group in groups if not group.get("date_delete")}
    return [
        Check("problem", f"{target.name} second factor", in_vain(rule, without))
        for target in targets
        for rule, without in too_few(target.settings, members, enrolled).items()
    ]


def _named(rules: Environment) -> Iterator[str]:
    """Everybody whom the rules of an environment name, group or person."""
    yield from (*_approvers(rules), *rules.requesters, *rules.overriders)


def _approvers(rules: Environment) -> Iterator[str]:
    """Everybody whose yes may count."""
    yield from rules.approvers
    for of_class in rules.hazards.values():
        yield from of_class.approvers
    for rule in rules.rules:
        yield from rule.approvers


def _word(error: Exception) -> str:
    if isinstance(error, SlackApiError):
        return f"Slack says {error_word(error)}"
    return f"Slack did not answer ({type(error).__name__})"
