"""What a workspace holds while it runs: messages, views, files, and the short-lived rights to answer."""

import itertools
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import NamedTuple

from sandbox.slack_rules import SlackError
from sandbox.slack_shapes import JSON
from sandbox.slack_workspace import Workspace

TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS = 30 * 60.0
RESPONSE_USES = 5
VIEW_STACK = 3


class Call(NamedTuple):
    """One thing the bot sent: a Web API method, `response_url`, or the answer in an acknowledgement."""

    at: float
    method: str
    body: JSON


@dataclass(frozen=True)
class Message:
    """A message as it stands. `only_for` names the one person who sees it; None means all in the channel."""

    ts: str
    channel: str
    author: str
    text: str
    blocks: tuple[JSON, ...] = ()
    thread_ts: str | None = None
    only_for: str | None = None
    metadata: JSON | None = None
    files: tuple[str, ...] = ()
    reactions: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    """An uploaded file; it is `complete` once it has been shared, and its shares show from `scanned_at`."""

    id: str
    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    channel: str | None = None
    thread_ts: str | None = None
    message_ts: str | None = None
    complete: bool = False
    scanned_at: float = 0.0


@dataclass(frozen=True)
class View:
    """A modal or home tab as it stands; `hash` changes with every update."""

    id: str
    hash: str
    user: str
    body: JSON
    root_id: str
    previous_id: str | None = None


@dataclass
class Trigger:
    """The right to open one modal for this person, once and soon."""

    user: str
    at: float
    in_modal: bool = False
    view_id: str | None = None
    used: bool = False


@dataclass
class ResponseUrl:
    """The right to answer one act a few times; `message_ts` is the message whose button was pressed."""

    user: str
    channel: str
    at: float
    message_ts: str | None = None
    uses: int = 0


class Said(NamedTuple):
    """A message or a new version of one, in order; `via` is the id of the response_url it came by."""

    message: Message
    via: str | None


@dataclass
class SlackState:
    """Everything that one running workspace knows. Whoever reads or changes several things holds `lock`."""

    workspace: Workspace
    clock: Callable[[], float]
    app_id: str = "A0COUNTER"
    bot_id: str = "B0COUNTER"
    messages: dict[str, Message] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    stacks: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    homes: dict[str, str] = field(default_factory=dict)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    responses: dict[str, ResponseUrl] = field(default_factory=dict)
    pins: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def record(self, method: str, body: JSON) -> None:
        """Remember what the bot sent; tokens are left out."""
        self.calls.append(Call(self.clock(), method, {k: v for k, v in body.items() if k != "token"}))

    def new_ts(self) -> str:
        """The identity of a new message: seconds, and a number that never comes twice."""
        return f"{int(self.clock())}.{next(self._numbers):06d}"

    def new_id(self, letter: str) -> str:
        """An id that looks like Slack's and cannot be guessed, such as F0A31B77C2D4."""
        return f"{letter}0{secrets.token_hex(5).upper()}"

    def put(self, message: Message, via: str | None = None) -> Message:
        """Show a new message, or the new version of an old one; blocks without ids get some, as in Slack."""
        shown = replace(message, blocks=tuple(_with_ids(block) for block in message.blocks))
        with self.lock:
            self.messages[shown.ts] = shown
            self.said.append(Said(shown, via))
        return shown

    def sees(self, user: str, message: Message) -> bool:
        """Whether this person can look at the message now."""
        channel = self.workspace.channels.get(message.channel)
        return channel is not None and user in channel.members and message.only_for in (None, user)

    # --- rights that end -----------------------------------------------------------------------------

    def new_trigger(self, user: str, in_modal: bool = False) -> str:
        trigger_id = f"{next(self._numbers)}.{self.workspace.team_id}.{secrets.token_hex(16)}"
        self.triggers[trigger_id] = Trigger(user, self.clock(), in_modal)
        return trigger_id

    def use_trigger(self, trigger_id: str) -> Trigger:
        """Raises `SlackError` when the trigger is unknown, used or older than three seconds."""
        trigger = self.triggers.get(trigger_id)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.used:
            raise SlackError("trigger_exchanged")
        if self.clock() - trigger.at > TRIGGER_SECONDS:
            raise SlackError("trigger_expired")
        trigger.used = True
        return trigger

    def new_response(self, user: str, channel: str, message_ts: str | None = None) -> str:
        response_id = secrets.token_urlsafe(24)
        self.responses[response_id] = ResponseUrl(user, channel, self.clock(), message_ts)
        return response_id

    def use_response(self, response_id: str) -> ResponseUrl:
        """Raises `SlackError` when the URL is unknown, used five times or older than half an hour."""
        response = self.responses.get(response_id)
        if response is None or self.clock() - response.at > RESPONSE_SECONDS:
            raise SlackError("expired_url")
        if response.uses >= RESPONSE_USES:
            raise SlackError("used_url")
        response.uses += 1
        return response

    # --- views ---------------------------------------------------------------------------------------

    def new_view(self, user: str, body: JSON, under: View | None = None) -> View:
        """Make a view and keep it; showing it (stack or home) is the caller's."""
        view_id = self.new_id("V")
        body = {**body, "blocks": [_with_ids(block) for block in body["blocks"]]}
        root = under.root_id if under else view_id
        view = View(view_id, self._new_hash(), user, body, root, under.id if under else None)
        self.views[view_id] = view
        return view

    def change_view(self, view: View, body: JSON) -> View:
        """The view with another content and a new hash."""
        body = {**body, "blocks": [_with_ids(block) for block in body["blocks"]]}
        self.views[view.id] = replace(view, body=body, hash=self._new_hash())
        return self.views[view.id]

    def open_modal(self, user: str, body: JSON) -> View:
        view = self.new_view(user, body)
        self.stacks[user] = [view.id]
        return view

    def push_modal(self, user: str, body: JSON) -> View:
        """Raises `SlackError` when three views are on the stack already."""
        if len(self.stacks[user]) >= VIEW_STACK:
            raise SlackError("push_limit_reached")
        below = self.views[self.stacks[user][-1]] if self.stacks[user] else None
        view = self.new_view(user, body, under=below)
        self.stacks[user].append(view.id)
        return view

    def top_view(self, user: str) -> View | None:
        """The modal this person looks at; None when none is open."""
        stack = self.stacks[user]
        return self.views[stack[-1]] if stack else None

    def view_json(self, view: View) -> JSON:
        """A view as Slack sends it back."""
        return {
            "state": {"values": {}},
            **view.body,
            "id": view.id,
            "hash": view.hash,
            "team_id": self.workspace.team_id,
            "app_id": self.app_id,
            "bot_id": self.bot_id,
            "app_installed_team_id": self.workspace.team_id,
            "root_view_id": view.root_id,
            "previous_view_id": view.previous_id,
        }

    def message_json(self, message: Message) -> JSON:
        """A message as Slack sends it back."""
        shown: JSON = {
            "type": "message",
            "user": message.author,
            "ts": message.ts,
            "text": message.text,
            "team": self.workspace.team_id,
            "blocks": list(message.blocks),
        }
        if message.author == self.workspace.bot.id:
            shown |= {"bot_id": self.bot_id, "app_id": self.app_id}
        if message.thread_ts:
            shown["thread_ts"] = message.thread_ts
        if message.metadata:
            shown["metadata"] = message.metadata
        if message.files:
            shown["files"] = [{"id": file_id, "name": self.files[file_id].name} for file_id in message.files]
        if message.reactions:
            shown["reactions"] = [{"name": name, "count": 1} for name in message.reactions]
        return shown

    def _new_hash(self) -> str:
        return f"{next(self._numbers)}.{secrets.token_hex(4)}"


def _with_ids(block: JSON) -> JSON:
    """The block with a block_id, and its elements with action ids, as Slack fills them in."""
    filled = dict(block)
    filled.setdefault("block_id", secrets.token_hex(3))
    if "child_blocks" in block:
        filled["child_blocks"] = [_with_ids(child) for child in block["child_blocks"]]
    if block["type"] == "actions":
        filled["elements"] = [{"action_id": secrets.token_hex(3), **element} for element in block["elements"]]
    for key in ("accessory", "element"):
        if key in block and block[key]["type"] != "image":
            filled[key] = {"action_id": secrets.token_hex(3), **block[key]}
    return filled
