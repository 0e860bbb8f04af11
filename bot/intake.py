"""From Slack's payload to a durable event and an ack, and nothing else: the work goes to the pool.

Every listener does the same three things: recognise, append, ack. The append is one transaction on the log's own
thread, so the loop waits for the disk without being blocked by it.
"""

import asyncio
import html
import logging
import re
import uuid
from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any

from slack_bolt.async_app import AsyncApp

from audit import AuditError
from audit import Draft
from audit import Event
from audit import Log
from audit import View
from bot.floods import Entry
from bot.floods import Floods
from bot.modals import CHOICE
from bot.modals import ENVIRONMENT
from bot.modals import WORD
from commands.dispatch import commanded
from commands.words import Front
from ops.masking import mask_intake
from ops.people import Actor

logger = logging.getLogger("countersign.intake")

Ack = Callable[..., Awaitable[Any]]
Hand = Callable[["Act"], None]
Check = Callable[["Act"], Mapping[str, str]]
OnCommand = Callable[[Ack, dict[str, Any]], Awaitable[None]]

VALUE_LETTERS = 300
NOBODY = Actor("system:nobody")
NOT_TYPED = ("bot_id", "app_id", "bot_profile", "subtype")
"""What a message has that an app posted, perhaps with somebody's token and so in their name, or that is of another kind than
what a person types; who is behind it nobody proved."""

NEEDED = {
    "reason": "Say why, in a sentence.",
    "environment": "Type the environment's name.",
    "code": "Type the code that your app shows now.",
}
"""What is said at an input that was left empty."""
_ACT_ID = re.compile(r"[A-Za-z0-9._-]{1,200}")
_REQUEST = re.compile(r"\bR-[1-9][0-9]{0,8}\b")
_HALF_LETTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Act:
    """What somebody did in Slack, already in the log under `id`: a line typed, a button pressed, a form sent."""

    id: str
    actor: Actor
    kind: str
    text: str = ""
    verb: str = ""
    value: str = ""
    channel: str | None = None
    message: str | None = None
    thread: str | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    response_url: str | None = None
    trigger: str | None = None
    is_private: bool = False


LOG_DOWN = "The audit log cannot record this, so nothing was done. Tell whoever runs Countersign; then try again."
FLOODED = "Too many of your clicks were refused within a minute, so none is looked at for a minute. Nothing was done."
MALFORMED = "What Slack sent is not a command that Countersign can read, so nothing was done. Try again."


class Intake:
    """Bolt's listeners. `hand` gets every act that is new; a redelivered one finds its first answer and is not handed on.

    `opened` gets whoever opens Home. That is no act, so nothing is recorded of it. `check` says what is wrong in a form
    that was sent, by input; it may read, and is given a thread. `environments`: see `commanded`.
    """

    def __init__(
        self,
        log: Log,
        hand: Hand,
        opened: Callable[[Actor], None],
        check: Check,
        floods: Floods,
        environments: Collection[str] = (),
    ) -> None:
        self._log = log
        self._environments = environments
        self._floods = floods
        self._hand = hand
        self._opened = opened
        self._check = check

    def register(self, app: AsyncApp) -> None:
        """Every way in that the app has."""
        app.command(re.compile(".*"))(self.on_command)
        app.action(re.compile(".*"))(self.on_action)
        app.view(CHOICE)(self.on_choice)
        app.view(re.compile(".*"))(self.on_form)
        app.message_shortcut("show")(self.on_shortcut)
        app.event("app_mention")(self.on_mention)
        app.event("app_home_opened")(self.on_home)
        app.event(re.compile(".*"))(self.on_other)

    async def on_command(self, ack: Ack, body: dict[str, Any]) -> None:
        if not body.get("user_id"):  # from a socket it comes to us as it came in
            logger.error("command_malformed keys=%d", len(body))
            await ack(text=MALFORMED)
            return
        text = unescape(str(body.get("text") or ""))
        actor = actor_of(body.get("team_id"), body.get("user_id"))
        channel = whole_letters(body.get("channel_id")) or None
        answer_to = body.get("response_url")
        act = Act(
            id=act_id(body.get("trigger_id")),
            actor=actor,
            kind="commanded",
            text=text,
            channel=channel,
            response_url=answer_to if isinstance(answer_to, str) else None,
            trigger=whole_letters(body.get("trigger_id")) or None,
        )
        said = commanded(text, actor, Front.SLACK, channel, environments=self._environments)
        if await self._record(act, said):
            await ack()
        else:
            await ack(text=LOG_DOWN)

    async def on_shortcut(self, ack: Ack, body: dict[str, Any]) -> None:
        """ "Show migration" on a message: the request that it names first, else the one in whose thread it stands."""
        message, user = body.get("message") or {}, body.get("user") or {}
        named = _REQUEST.search(whole_letters(message.get("text")))
        answer_to = body.get("response_url")
        act = Act(
            id=act_id(body.get("trigger_id")),
            actor=actor_of(user.get("team_id") or (body.get("team") or {}).get("id"), user.get("id")),
            kind="commanded",
            text=f"show {named[0]}" if named else "show",
            channel=(body.get("channel") or {}).get("id"),
            thread=message.get("thread_ts") or message.get("ts"),
            response_url=answer_to if isinstance(answer_to, str) else None,
        )
        await self._say(ack, act)

    async def on_choice(self, ack: Ack, body: dict[str, Any]) -> None:
        """The form behind a bare command: what was chosen is the same as if it had been typed there."""
        view, user = body.get("view") or {}, body.get("user") or {}
        inputs = _inputs(view)
        channel = whole_letters(view.get("private_metadata"))
        act = Act(
            id=act_id(body.get("trigger_id")),
            actor=actor_of(user.get("team_id") or (body.get("team") or {}).get("id"), user.get("id")),
            kind="commanded",
            text=f"{inputs.get(WORD, '')} {inputs.get(ENVIRONMENT, '')}".strip(),
            channel=channel or None,
        )
        await self._say(ack, act)

    async def _say(self, ack: Ack, act: Act) -> None:
        """Take what is as good as typed. Where the log is down it is told behind the acknowledgement."""
        said = commanded(
            act.text, act.actor, Front.SLACK, act.channel, thread=act.thread, environments=self._environments
        )
        recorded = await self._record(act, said)
        await ack()
        if not recorded:
            self._hand(replace(act, kind="log_down"))

    async def on_action(self, ack: Ack, body: dict[str, Any]) -> None:
        action = (body.get("actions") or [{}])[0]
        container = body.get("container") or {}
        user = body.get("user") or {}
        act = Act(
            id=act_id(body.get("trigger_id")),
            actor=actor_of(user.get("team_id") or (body.get("team") or {}).get("id"), user.get("id")),
            kind="clicked",
            verb=whole_letters(action.get("action_id"))[:VALUE_LETTERS],
            value=whole_letters(action.get("value"))[:VALUE_LETTERS],
            channel=container.get("channel_id") or (body.get("channel") or {}).get("id"),
            message=container.get("message_ts"),
            response_url=body.get("response_url"),
            trigger=body.get("trigger_id"),
            is_private=bool(container.get("is_ephemeral")),
        )
        if (entry := self._floods.take(act.id, act.actor)) is not Entry.TAKEN:
            await ack()
            if entry is Entry.TOLD:
                self._hand(replace(act, kind="flooded"))
            return
        recorded = await self._record(act, _clicked(act))
        await ack()
        if not recorded:
            self._hand(replace(act, kind="log_down"))

    async def on_form(self, ack: Ack, body: dict[str, Any]) -> None:
        view = body.get("view") or {}
        user = body.get("user") or {}
        inputs = _inputs(view)
        missing = {name: NEEDED.get(name, "Fill this in.") for name, said in inputs.items() if not said.strip()}
        if missing:
            await ack(response_action="errors", errors=missing)
            return
        act = Act(
            id=act_id(body.get("trigger_id")),
            actor=actor_of(user.get("team_id") or (body.get("team") or {}).get("id"), user.get("id")),
            kind="clicked",
            verb=whole_letters(view.get("callback_id"))[:VALUE_LETTERS],
            value=whole_letters(view.get("private_metadata"))[:VALUE_LETTERS],
            inputs=inputs,
        )
        if self._floods.take(act.id, act.actor) is not Entry.TAKEN:
            await ack(response_action="errors", errors=dict.fromkeys(inputs, FLOODED))
            return
        is_new = await self._append(act, _clicked(act))
        if is_new is None:
            await ack(response_action="errors", errors=dict.fromkeys(inputs, LOG_DOWN))
            return
        wrong = await asyncio.to_thread(self._check, act)
        await (ack(response_action="errors", errors=dict(wrong)) if wrong else ack())
        if is_new:
            self._hand(replace(act, kind="unfit") if wrong else act)

    async def on_mention(self, ack: Ack, body: dict[str, Any], event: dict[str, Any]) -> None:
        text = unescape(re.sub(r"^\s*<@[UW][A-Z0-9]+>\s*", "", str(event.get("text") or "")))
        actor = actor_of(event.get("user_team") or event.get("team") or body.get("team_id"), event.get("user"))
        if any(event.get(mark) for mark in NOT_TYPED):
            actor = NOBODY
        channel = event.get("channel")
        thread = whole_letters(event.get("thread_ts")) or None
        await self._say(
            ack,
            Act(act_id(body.get("event_id")), actor, "commanded", text=text, channel=channel, thread=thread),
        )

    async def on_home(self, ack: Ack, body: dict[str, Any], event: dict[str, Any]) -> None:
        await ack()
        if event.get("tab") == "home":
            self._opened(actor_of(body.get("team_id"), event.get("user")))

    async def on_other(self, ack: Ack) -> None:
        await ack()

    async def _record(self, act: Act, draft: Draft) -> bool:
        """Append the act; True when it is durable. It is handed on only the first time."""
        is_new = await self._append(act, draft)
        if is_new:
            self._hand(act)
        return is_new is not None

    async def _append(self, act: Act, draft: Draft) -> bool | None:
        """Append the act; whether it is new, None when the log could not take it."""
        fresh = False

        def write(view: View) -> list[Draft]:
            nonlocal fresh
            fresh = True
            return [draft]

        try:
            await asyncio.wrap_future(self._log.submit(write, id=act.id))
        except AuditError as error:
            logger.error("intake_refused error=%s", type(error).__name__)
            return None
        return fresh


def act_id(given: Any) -> str:
    """Slack's own id of what happened, so that a redelivery is known; one of ours where Slack gives no proper one."""
    is_proper = isinstance(given, str) and _ACT_ID.fullmatch(given)
    return f"slack:{given if is_proper else uuid.uuid4()}"


def actor_of(team: Any, user: Any) -> Actor:
    """Who Slack says acted. Without proper ids it is nobody, and nobody may do anything."""
    actor = Actor(f"slack:{team}/{user}")
    return actor if actor.user is not None else NOBODY


def whole_letters(text: Any) -> str:
    """Text as it can be kept: half of a character, which JSON can hold and UTF-8 cannot, becomes a replacement mark."""
    return _HALF_LETTER.sub("\N{REPLACEMENT CHARACTER}", str(text or ""))


def unescape(text: str) -> str:
    """Command text as it was typed: Slack escapes `&<>` and writes mentions as `<@U…|name>`."""
    plain = re.sub(r"<([@#!][^>|]*)(\|[^>]*)?>", r"\1", text)
    plain = re.sub(r"<((?:https?|mailto):[^>|]*)(\|[^>]*)?>", r"\1", plain)
    return whole_letters(html.unescape(plain))


def act_of(event: Event) -> Act:
    """The act that an event of an earlier process tells of: what was acked and may not have been answered."""
    data = event.data or {}
    if event.kind == "commanded":
        where = {"channel": data["channel"], "thread": data.get("thread")}
        return Act(event.id, Actor(event.actor), "commanded", text=data["text"], **where)
    return Act(
        event.id,
        Actor(event.actor),
        "clicked",
        verb=data["verb"],
        value=data["value"],
        channel=data["channel"],
        message=data["message"],
        inputs=dict(data["inputs"]),
    )


def _inputs(view: dict[str, Any]) -> dict[str, str]:
    """What was typed or chosen in a form, by the name of its input."""
    return {
        whole_letters(element): whole_letters(found.get("value") or (found.get("selected_option") or {}).get("value"))
        for block in ((view.get("state") or {}).get("values") or {}).values()
        for element, found in block.items()
    }


def _clicked(act: Act) -> Draft:
    return Draft(
        kind="clicked",
        actor=act.actor.id,
        stream="people",
        data={
            "verb": mask_intake(act.verb),
            "value": mask_intake(act.value),
            "channel": act.channel,
            "message": act.message,
            "inputs": {name: _kept(name, said) for name, said in act.inputs.items()},
        },
    )


def _kept(name: str, said: str) -> str:
    """What an input keeps in the log: masked, and of a one-time code nothing, since it proves who somebody is."""
    return "«code»" if name == "code" else mask_intake(said)
