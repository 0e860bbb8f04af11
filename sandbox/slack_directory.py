"""The Web API methods that tell who and what there is: the app, people, user groups, channels, history."""

from typing import Any

from sandbox.slack_chat import direct_channel
from sandbox.slack_chat import reachable_channel
from sandbox.slack_rules import SlackError
from sandbox.slack_shapes import JSON
from sandbox.slack_state import Message
from sandbox.slack_state import SlackState

PAGE = 100


def is_set(value: Any) -> bool:
    """A flag as it comes in JSON (true) or in a form ("true", "1")."""
    return value in (True, "true", "1", 1)


def _page(things: list[Any], body: JSON) -> tuple[list[Any], JSON]:
    """One page of a list, and the cursor for the next; the cursor is the place where it starts."""
    try:
        start = int(body.get("cursor") or 0)
        size = min(int(body.get("limit") or PAGE), 1_000)
    except ValueError:
        raise SlackError("invalid_cursor") from None
    following = str(start + size) if start + size < len(things) else ""
    return things[start : start + size], {"next_cursor": following}


def auth_test(state: SlackState, _body: JSON) -> JSON:
    """auth.test."""
    workspace = state.workspace
    return {
        "url": f"https://{workspace.name.lower()}.slack.com/",
        "team": workspace.name,
        "user": workspace.bot.handle,
        "team_id": workspace.team_id,
        "user_id": workspace.bot.id,
        "bot_id": state.bot_id,
        "is_enterprise_install": False,
    }


def team_info(state: SlackState, _body: JSON) -> JSON:
    """team.info."""
    workspace = state.workspace
    return {"team": {"id": workspace.team_id, "name": workspace.name, "domain": workspace.name.lower()}}


def user_info(state: SlackState, body: JSON) -> JSON:
    """users.info."""
    person = state.workspace.people.get(str(body.get("user", "")))
    if person is None:
        raise SlackError("user_not_found")
    return {"user": person.as_json()}


def user_by_email(state: SlackState, body: JSON) -> JSON:
    """users.lookupByEmail: nobody whose account is closed."""
    wanted = str(body.get("email", "")).lower()
    people = [one for one in state.workspace.people.values() if one.email and not one.deleted]
    found = next((one for one in people if one.email.lower() == wanted), None)
    if found is None:
        raise SlackError("users_not_found")
    return {"user": found.as_json()}


def users(state: SlackState, body: JSON) -> JSON:
    """users.list, closed accounts included."""
    page, cursor = _page(list(state.workspace.people.values()), body)
    return {"members": [person.as_json() for person in page], "response_metadata": cursor}


def usergroups(state: SlackState, body: JSON) -> JSON:
    """usergroups.list."""
    disabled_too = is_set(body.get("include_disabled"))
    shown = [g for g in list(state.workspace.groups.values()) if disabled_too or not g.disabled]
    with_users = is_set(body.get("include_users"))
    return {"usergroups": [group.as_json(state.workspace.team_id, with_users) for group in shown]}


def usergroup_users(state: SlackState, body: JSON) -> JSON:
    """usergroups.users.list."""
    group = state.workspace.groups.get(str(body.get("usergroup", "")))
    if group is None or (group.disabled and not is_set(body.get("include_disabled"))):
        raise SlackError("no_such_subteam")
    return {"users": list(group.users)}


def channel_info(state: SlackState, body: JSON) -> JSON:
    """conversations.info."""
    return {"channel": reachable_channel(state, body).as_json(state.workspace.bot.id)}


def channels(state: SlackState, body: JSON) -> JSON:
    """conversations.list: what the bot may see of the kinds asked for (public ones by default)."""
    kinds = str(body.get("types") or "public_channel").split(",")
    bot = state.workspace.bot.id
    seen = []
    for channel in list(state.workspace.channels.values()):
        kind = "im" if channel.is_im else "private_channel" if channel.is_private else "public_channel"
        hidden = channel.is_archived and is_set(body.get("exclude_archived"))
        if kind in kinds and not hidden and (kind == "public_channel" or bot in channel.members):
            seen.append(channel.as_json(bot))
    page, cursor = _page(seen, body)
    return {"channels": page, "response_metadata": cursor}


def open_channel(state: SlackState, body: JSON) -> JSON:
    """conversations.open, for one person."""
    people = [user for user in str(body.get("users", "")).split(",") if user]
    if len(people) != 1:
        raise SlackError("users_list_not_supplied" if not people else "not_enough_users")
    return {"channel": {"id": direct_channel(state, people[0]).id}}


def members(state: SlackState, body: JSON) -> JSON:
    """conversations.members."""
    page, cursor = _page(list(reachable_channel(state, body).members), body)
    return {"members": page, "response_metadata": cursor}


def history(state: SlackState, body: JSON) -> JSON:
    """conversations.history: newest first, without replies and without what only one person saw."""
    shown = [message for message in _readable(state, body) if message.thread_ts is None]
    return _messages(state, shown[::-1], body)


def replies(state: SlackState, body: JSON) -> JSON:
    """conversations.replies: the first message of the thread and its replies, oldest first."""
    root = str(body.get("ts", ""))
    shown = [message for message in _readable(state, body) if root in (message.ts, message.thread_ts)]
    if not shown:
        raise SlackError("thread_not_found")
    return _messages(state, shown, body)


def _readable(state: SlackState, body: JSON) -> list[Message]:
    channel = reachable_channel(state, body)
    if state.workspace.bot.id not in channel.members:
        raise SlackError("not_in_channel")
    after, before = float(body.get("oldest") or 0), float(body.get("latest") or "inf")
    shown = [m for m in state.messages.values() if m.channel == channel.id and m.only_for is None]
    if is_set(body.get("inclusive")):
        return [m for m in shown if after <= float(m.ts) <= before]
    return [m for m in shown if after < float(m.ts) < before]


def _messages(state: SlackState, shown: list[Message], body: JSON) -> JSON:
    page, cursor = _page(shown, body)
    with_metadata = is_set(body.get("include_all_metadata"))
    told = [state.message_json(message) for message in page]
    if not with_metadata:
        told = [{k: v for k, v in message.items() if k != "metadata"} for message in told]
    return {"messages": told, "has_more": bool(cursor["next_cursor"]), "response_metadata": cursor}
