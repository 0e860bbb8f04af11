"""The Web API methods that this Slack knows, each with its rate limit tier and scope (docs.slack.dev, 2026-11)."""

from collections.abc import Callable
from typing import NamedTuple

from sandbox import slack_chat
from sandbox import slack_directory
from sandbox import slack_files
from sandbox import slack_views
from sandbox.slack_limits import POST_TIER
from sandbox.slack_shapes import JSON
from sandbox.slack_state import SlackState


class Method(NamedTuple):
    """`run` is given the state and the body and may raise `SlackError`; an empty scope means that none is needed."""

    run: Callable[[SlackState, JSON], JSON]
    tier: int
    scope: str = ""


# auth.test and chat.getPermalink have limits of their own, of hundreds a minute: tier 4 is on the safe side.
METHODS: dict[str, Method] = {
    "auth.test": Method(slack_directory.auth_test, 4),
    "chat.delete": Method(slack_chat.delete, 3, "chat:write"),
    "chat.getPermalink": Method(slack_chat.permalink, 4),
    "chat.postEphemeral": Method(slack_chat.post_ephemeral, 4, "chat:write"),
    "chat.postMessage": Method(slack_chat.post_message, POST_TIER, "chat:write"),
    "chat.update": Method(slack_chat.update, 3, "chat:write"),
    "conversations.history": Method(slack_directory.history, 3, "channels:history"),
    "conversations.info": Method(slack_directory.channel_info, 3, "channels:read"),
    "conversations.list": Method(slack_directory.channels, 2, "channels:read"),
    "conversations.members": Method(slack_directory.members, 4, "channels:read"),
    "conversations.open": Method(slack_directory.open_channel, 3, "im:write"),
    "conversations.replies": Method(slack_directory.replies, 3, "channels:history"),
    "files.getUploadURLExternal": Method(slack_files.ask_upload, 4, "files:write"),
    "files.info": Method(slack_files.file_info, 4, "files:read"),
    "pins.add": Method(slack_chat.add_pin, 2, "pins:write"),
    "reactions.add": Method(slack_chat.add_reaction, 3, "reactions:write"),
    "team.info": Method(slack_directory.team_info, 3, "team:read"),
    "usergroups.list": Method(slack_directory.usergroups, 2, "usergroups:read"),
    "usergroups.users.list": Method(slack_directory.usergroup_users, 2, "usergroups:read"),
    "users.info": Method(slack_directory.user_info, 4, "users:read"),
    "users.lookupByEmail": Method(slack_directory.user_by_email, 3, "users:read.email"),
    "users.list": Method(slack_directory.users, 2, "users:read"),
    "views.open": Method(slack_views.open_view, 4),
    "views.publish": Method(slack_views.publish_view, 4),
    "views.push": Method(slack_views.push_view, 4),
    "views.update": Method(slack_views.update_view, 4),
}
COMPLETE_UPLOAD = "files.completeUploadExternal"
OPEN_CONNECTION = "apps.connections.open"
# These two need what only the server has: the length of the scan, and the sockets.
SERVER_METHODS = {COMPLETE_UPLOAD: (4, "files:write"), OPEN_CONNECTION: (1, "connections:write")}
ALL_SCOPES = frozenset(
    {method.scope for method in METHODS.values() if method.scope}
    | {"commands", "files:write", "app_mentions:read", "groups:read"}
)
