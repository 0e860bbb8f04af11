"""A Slack on your desk: people act, the bot answers, and everything that was said can be looked at.

    with FakeSlack() as slack:
        …start a bot with slack.api_url, slack.bot_token and slack.app_token…
        slack.say("Ana", "/migrate push prod")
        slack.click("Ben", "Approve", about="R-1")
        print(slack.render(slack.channel("deploys").messages[-1]))

The acts are synchronous and belong in a thread that is not the bot's. `demo_workspace()` is the default.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

from sandbox import slack_chat
from sandbox import slack_payloads
from sandbox import slack_views
from sandbox.slack_answer import Answer
from sandbox.slack_answer import shown_text
from sandbox.slack_answer import until
from sandbox.slack_delivery import Kind
from sandbox.slack_payloads import ImpossibleError
from sandbox.slack_render import render_blocks
from sandbox.slack_rules import SlackError
from sandbox.slack_rules import walk
from sandbox.slack_server import SlackServer
from sandbox.slack_shapes import JSON
from sandbox.slack_state import Call
from sandbox.slack_state import File
from sandbox.slack_state import Message
from sandbox.slack_state import View
from sandbox.slack_workspace import Channel
from sandbox.slack_workspace import Person

BUTTON_SECONDS = 5.0
Values = Mapping[str, str | list[str]]


class Found(NamedTuple):
    """A button and where it is."""

    message: Message
    block_id: str
    button: JSON


class ChannelView(NamedTuple):
    """What can be seen of a channel: now, or by one person alone."""

    channel: Channel
    messages: list[Message]
    alone: list[Message]
    files: list[File]

    def ephemeral(self, user_id: str) -> list[Message]:
        """What only this person sees, oldest first."""
        return [message for message in self.alone if message.only_for == user_id]

    def thread(self, ts: str) -> list[Message]:
        """The replies to a message, oldest first."""
        return [message for message in self.messages if message.thread_ts == ts]


class FakeSlack(SlackServer):
    """A local Slack and the people in it. People are named by id or name, channels by id or name."""

    # --- what people do ------------------------------------------------------------------------------

    def say(self, user: str, words: str, channel: str = "deploys", forged: bool = False) -> Answer:
        """Type a slash command, such as "/migrate push prod". `forged` sends it for somebody who could not."""
        person_id = self._acting(user, channel, forged, typing=True)
        where = self.workspace.channel(channel).id
        response_id, trigger_id = self._rights(person_id, where)
        payload = slack_payloads.command(
            self.state,
            person_id,
            self.workspace.escaped(words),
            where,
            self._response_url(response_id),
            trigger_id,
        )
        return self._act(person_id, "slash_commands", payload, response_id, trigger_id)

    def click(
        self,
        user: str,
        label: str,
        about: str = "",
        wait: float = BUTTON_SECONDS,
        values: Values | None = None,
    ) -> Answer:
        """Press the newest button whose label matches, once this person sees it.

        `about` is a word in its value, such as R-1. Confirming dialogs are confirmed. Raises `ImpossibleError`
        when there is no such button in time.
        """
        person = self.workspace.person(user)
        found = until(lambda: self._find(person, label, about), wait)
        if found is None:
            there = sorted({f"[{f.button['text']['text']}]" for f in self._buttons(person)})
            raise ImpossibleError(f"{person.name} sees no button {label!r} {about}; there are {there}")
        return self._press(person, found, values or {})

    def click_message(self, user: str, message: Message, label: str, values: Values | None = None) -> Answer:
        """Press a button of this message as it stands now. Raises `ImpossibleError` when it has no such button."""
        person = self.workspace.person(user)
        for found in self._buttons(person):
            if found.message.ts == message.ts and re.search(label, found.button["text"]["text"], re.IGNORECASE):
                return self._press(person, found, values or {})
        raise ImpossibleError(f"{person.name} sees no button {label!r} in {message.ts}")

    def press(self, user: str, ts: str, block_id: str, action_id: str) -> Answer:
        """Press the button with these ids. Raises `ImpossibleError` when this person sees no such button."""
        person = self.workspace.person(user)
        for found in self._buttons(person):
            if (found.message.ts, found.block_id, found.button["action_id"]) == (ts, block_id, action_id):
                return self._press(person, found, {})
        raise ImpossibleError(f"{person.name} sees no such button; the message may have changed")

    def forge(
        self,
        user: str,
        *,
        value: str,
        action_id: str,
        message_ts: str = "",
        channel: str = "deploys",
        label: str = "Approve",
    ) -> Answer:
        """A hostile click: any value from any message, real or not, by anyone, real or not."""
        where = self.workspace.channel(channel).id
        message = self.state.messages.get(message_ts) or Message(message_ts or "1.000000", where, "U0FORGER", "")
        text = {"type": "plain_text", "text": label}
        button = {"type": "button", "action_id": action_id, "value": value, "text": text}
        person_id = self._id(user)
        return self._pressed(person_id, Found(message, "forged", button), {})

    def submit(self, user: str, view: View, values: Values | None = None) -> Answer:
        """Fill in and submit the modal that this person looks at. `values` by block_id, action_id or label."""
        person_id = self._id(user)
        view = self._looked_at(person_id, view)
        filled = slack_payloads.filled_in(view.body["blocks"], values or {})
        _, trigger_id = self._rights(person_id, None, in_modal=True)
        payload = slack_payloads.submission(self.state, person_id, view, filled, trigger_id)
        answer = self._act(person_id, "interactive", payload, None, trigger_id)
        if answer.error is None:
            self._settle(answer, view)
        return answer

    def close(self, user: str, view: View) -> Answer | None:
        """Close the modal; the bot is told only when it asked for that with `notify_on_close`."""
        person_id = self._id(user)
        view = self._looked_at(person_id, view)
        cleared = bool(view.body.get("clear_on_close"))
        stack = self.state.stacks[person_id]
        stack[:] = [] if cleared else stack[:-1]
        if not view.body.get("notify_on_close"):
            return None
        payload = slack_payloads.closing(self.state, person_id, view, cleared)
        return self._act(person_id, "interactive", payload, None, None)

    def mention(
        self, user: str, channel: str, words: str, thread_ts: str | None = None, forged: bool = False
    ) -> Answer:
        """Write a message that begins with @Countersign; the answer has the bot's replies in its thread."""
        person_id = self._acting(user, channel, forged)
        where = self.workspace.channel(channel).id
        text = f"<@{self.workspace.bot.id}> {self.workspace.escaped(words)}"
        message = self.state.put(Message(self.state.new_ts(), where, person_id, text, thread_ts=thread_ts))
        what: JSON = {
            "type": "app_mention",
            "user": person_id,
            "text": text,
            "ts": message.ts,
            "event_ts": message.ts,
            "channel": where,
            "team": self._team_of(person_id),
        }
        what |= {"thread_ts": thread_ts} if thread_ts else {}
        return self.event(what, person_id, thread=(where, thread_ts or message.ts))

    def shortcut(self, user: str, message: Message, callback_id: str = "show") -> Answer:
        """Choose the app's shortcut from the menu of a message."""
        person_id = self._acting(user, message.channel, False)
        rights = self._rights(person_id, message.channel)
        of = (self.state, person_id, message, callback_id, self._response_url(rights[0]), rights[1])
        return self._act(person_id, "interactive", slack_payloads.message_shortcut(*of), *rights)

    def open_home(self, user: str) -> Answer:
        """Open the app's home tab; `home` has what the bot publishes then."""
        person_id = self._id(user)
        what: JSON = {
            "type": "app_home_opened",
            "user": person_id,
            "channel": self.workspace.direct_channel(person_id).id,
            "tab": "home",
            "event_ts": self.state.new_ts(),
        }
        if shown := self.home(user):
            what["view"] = self.state.view_json(shown)
        return self.event(what, person_id)

    def event(self, what: JSON, user: str = "", thread: tuple[str, str] | None = None) -> Answer:
        """Tell the bot that something happened, such as {"type": "subteam_members_changed", …}."""
        payload = slack_payloads.event(self.state, what)
        return self._act(user, "events_api", payload, None, None, thread)

    def click_view(self, user: str, view: View, label: str) -> Answer:
        """Press a button of a modal or home tab. Raises `ImpossibleError` when it has no such button."""
        person_id = self._id(user)
        view = self.state.views[view.id]
        for block, button in _buttons_of(view.body["blocks"]):
            if view.user == person_id and re.search(label, button["text"]["text"], re.IGNORECASE):
                return self._press_in(person_id, view, block, button)
        raise ImpossibleError(f"{user} sees no button {label!r} there")

    def press_view(self, user: str, view: View, block_id: str, action_id: str) -> Answer:
        """Press the button with these ids of a modal or home tab. Raises `ImpossibleError` when it has no such button."""
        for block, button in _buttons_of(self.state.views[view.id].body["blocks"]):
            if (block["block_id"], button["action_id"]) == (block_id, action_id):
                return self._press_in(self._id(user), self.state.views[view.id], block, button)
        raise ImpossibleError("there is no such button; the page may have changed")

    def again(self, answer: Answer) -> Answer:
        """Deliver the same act a second time, as a proxy or a retry may."""
        return self._act(answer.user, answer.kind, answer.payload, answer.response_id, answer.trigger_id, answer.thread)

    # --- what can be looked at -----------------------------------------------------------------------

    def channel(self, which: str) -> ChannelView:
        """A channel's messages as they stand now, oldest first, and its shared files."""
        channel = self.workspace.channel(which)
        with self.state.lock:
            here = [message for message in self.state.messages.values() if message.channel == channel.id]
            files = [file for file in self.state.files.values() if file.channel == channel.id]
        to_all = [message for message in here if message.only_for is None]
        return ChannelView(channel, to_all, [m for m in here if m.only_for is not None], files)

    def direct(self, user: str) -> ChannelView:
        """What the bot wrote to this person in private."""
        return self.channel(self.workspace.direct_channel(self._id(user)).id)

    def home(self, user: str) -> View | None:
        """This person's home tab; None when nothing was published."""
        return self.state.views.get(self.state.homes.get(self._id(user), ""))

    def modal(self, user: str) -> View | None:
        """The modal this person looks at; None when none is open."""
        return self.state.top_view(self._id(user))

    @property
    def calls(self) -> list[Call]:
        """All that the bot sent so far: (at, method, body), without tokens."""
        with self.state.lock:
            return list(self.state.calls)

    def posts(self) -> list[tuple[str, JSON]]:
        """Every message and view that the bot sent, refused ones too: (method, body), for checks of their shape."""
        told = ("chat.post", "chat.update", "views.", "response_url", "ack")
        return [(method, body) for _, method, body in self.calls if method.startswith(told)]

    def everything_said(self) -> str:
        """All that ever went to Slack, files included, as one text to search for leaks."""
        with self.state.lock:
            contents = [file.content or b"" for file in self.state.files.values()]
        sent = [json.dumps(body, ensure_ascii=False) for _, _, body in self.calls]
        return "\n".join(sent + [content.decode("utf-8", "replace") for content in contents])

    def render(self, shown: Message | View) -> str:
        """A message or view as a person reads it: its blocks, or the text where it has none."""
        names = self.workspace.shown
        if isinstance(shown, View):
            title = shown.body.get("title", {}).get("text", "")
            return f"{title}\n{render_blocks(shown.body['blocks'], names)}".strip()
        if shown.blocks:
            return render_blocks(list(shown.blocks), names)
        return shown_text(self.state, shown)

    # --- inside --------------------------------------------------------------------------------------

    def _act(
        self,
        user: str,
        kind: Kind,
        payload: JSON,
        response_id: str | None,
        trigger_id: str | None,
        thread: tuple[str, str] | None = None,
    ) -> Answer:
        since = len(self.state.said)
        delivery = self.deliver(kind, payload)
        error = delivery.error
        if delivery.payload:
            method = "views.response_action" if "view" in delivery.payload else "ack"
            self.state.record(method, delivery.payload)
        if kind == "slash_commands" and response_id and delivery.payload and not error:
            try:
                with self.state.lock:
                    slack_chat.answer(self.state, response_id, delivery.payload)
            except SlackError as refused:
                error = refused.code
        return Answer(self.state, user, kind, payload, delivery, since, response_id, trigger_id, thread, error)

    def _settle(self, answer: Answer, view: View) -> None:
        """What the acknowledged submission does to the modal."""
        try:
            with self.state.lock:
                answer.errors = slack_views.answer_submission(self.state, view, answer.delivery.payload)
        except SlackError as refused:
            answer.error = refused.code

    def _press(self, person: Person, found: Found, values: Values) -> Answer:
        if person.deleted:
            raise ImpossibleError(f"{person.name}'s account is closed")
        filled = slack_payloads.filled_in(list(found.message.blocks), values, all_needed=False)
        return self._pressed(person.id, found, filled)

    def _pressed(self, person_id: str, found: Found, filled: JSON) -> Answer:
        message = found.message
        response_id, trigger_id = self._rights(person_id, message.channel, message.ts)
        action = slack_payloads.action_of(found.button, found.block_id, self.state.clock())
        url = self._response_url(response_id)
        payload = slack_payloads.button_in_message(self.state, person_id, message, action, filled, url, trigger_id)
        return self._act(person_id, "interactive", payload, response_id, trigger_id)

    def _press_in(self, person_id: str, view: View, block: JSON, button: JSON) -> Answer:
        _, trigger_id = self._rights(person_id, None, in_modal=view.body["type"] == "modal")
        action = slack_payloads.action_of(button, block["block_id"], self.state.clock())
        payload = slack_payloads.button_in_view(self.state, person_id, view, action, {}, trigger_id)
        return self._act(person_id, "interactive", payload, None, trigger_id)

    def _find(self, person: Person, label: str, about: str) -> Found | None:
        """The newest fitting button; R-1 is not found in R-12."""
        word = re.compile(rf"(?<![\w-]){re.escape(about)}(?![\w-])" if about else "")
        for found in self._buttons(person):
            fits = re.search(label, found.button["text"]["text"], re.IGNORECASE)
            if fits and word.search(found.button.get("value", "")):
                return found
        return None

    def _buttons(self, person: Person) -> list[Found]:
        """Every button that this person sees in messages, newest message first."""
        with self.state.lock:
            seen = [m for m in self.state.messages.values() if self.state.sees(person.id, m)]
        return [
            Found(message, block["block_id"], button)
            for message in reversed(seen)
            for block, button in _buttons_of(list(message.blocks))
        ]

    def _acting(self, user: str, channel: str, forged: bool, typing: bool = False) -> str:
        """The id of somebody who can write there. Raises `ImpossibleError` unless `forged`."""
        if forged:
            return self._id(user)
        person, where = self.workspace.person(user), self.workspace.channel(channel)
        if person.deleted or person.id not in where.members:
            raise ImpossibleError(f"{person.name} cannot write in #{where.name}")
        if typing and person.team_id != self.workspace.team_id:
            raise ImpossibleError(f"{person.name} is of another company and has no such command")
        return person.id

    def _id(self, user: str) -> str:
        try:
            return self.workspace.person(user).id
        except KeyError:
            return user

    def _team_of(self, person_id: str) -> str:
        person = self.workspace.people.get(person_id)
        return person.team_id if person else self.workspace.team_id

    def _looked_at(self, person_id: str, view: View) -> View:
        top = self.state.top_view(person_id)
        if top is None or top.id != view.id:
            raise ImpossibleError(f"{person_id} does not look at {view.id}")
        return top

    def _rights(
        self, person_id: str, channel: str | None, message_ts: str | None = None, in_modal: bool = False
    ) -> tuple[str, str]:
        """A response_url's id (empty without a channel) and a trigger for one act."""
        with self.state.lock:
            response_id = self.state.new_response(person_id, channel, message_ts) if channel else ""
            return response_id, self.state.new_trigger(person_id, in_modal)

    def _response_url(self, response_id: str) -> str:
        return f"{self.url}/response/{response_id}"


def _buttons_of(blocks: list[JSON]) -> list[tuple[JSON, dict[str, Any]]]:
    """Every button with the block that holds it, in reading order."""
    return [
        (block, element)
        for block in walk(blocks)
        for element in [*block.get("elements", []), block.get("accessory", {})]
        if "block_id" in block and element.get("type") == "button"
    ]
