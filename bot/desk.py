"""The work behind the ack: what was typed or pressed is done here, in a bounded pool, and everybody is answered."""

import logging
import re
import threading
from collections.abc import Callable
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from typing import Any

from audit import Event
from audit import Query
from bot.channels import refuse_shared
from bot.floods import Floods
from bot.forms import VALUE
from bot.forms import field_errors
from bot.forms import inputs_of
from bot.forms import open_choice
from bot.forms import open_form
from bot.forms import proofs_of
from bot.heavy import HeavyLine
from bot.intake import FLOODED
from bot.intake import LOG_DOWN
from bot.intake import Act
from bot.intake import act_of
from bot.letters import clean
from bot.letters import escape
from bot.modals import REASON
from bot.private_buttons import LOOKS
from bot.private_buttons import USED
from bot.private_buttons import line_behind
from bot.private_buttons import may_use
from bot.private_buttons import use
from bot.private_buttons import with_words
from bot.progress import Progress
from bot.render import COMMAND
from bot.render import Blocks
from bot.render import blocks_of
from bot.render import text_of
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from bot.store import Store
from commands.approve import approved_reply
from commands.dispatch import answer
from commands.dispatch import crowded
from commands.dispatch import guarded
from commands.dispatch import is_heavy
from commands.dispatch import run_line
from commands.home_page import REFRESH
from commands.in_thread import line_about
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.push import overridden_reply
from commands.reject import rejected_reply
from commands.reply import Reply
from commands.stop import stopped_reply
from commands.words import Front
from ops.approving import approve
from ops.approving import cancel
from ops.approving import check_plan
from ops.approving import reject
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.overriding import override
from ops.people import Actor
from ops.requesting import check_member
from ops.requests import Request
from ops.requests import find_request

logger = logging.getLogger("countersign.desk")

SAYS: Mapping[str, str] = {"resume": "resume", "rollback": "rollback", "clean": "clean up"}
"""The verbs whose button does what typing these words and the request's number does."""
SILENT: Mapping[str, Any] = {"seen": True}
"""The data of a reply that needs no words: the person sees what came of it."""

DONE = ("approved", "overridden", "rejected", "cancelled", "stopped", "requested")
"""What ends the id of the event that a click led to."""

SAID_LETTERS = 100

REDO_WITHIN = timedelta(minutes=30)
"""What was acked but not answered is done after a restart when it is this young; else the person is told to say it again."""

WAITING_MOST = 2000
"""What is more waits in the log for the next start. A whole company that types at once is far less: all are answered."""


class Desk:
    """Takes acts from the intake, does them in the pool and answers in private."""

    def __init__(
        self,
        ops: Ops,
        api: SlackApi,
        store: Store,
        pool: Executor,
        heavy: Executor,
        refresh_home: Callable[[Actor], None],
        floods: Floods,
        team: str,
    ) -> None:
        """`heavy` has the threads for what rehearses and compares, so that `pool` is free for who decides and looks.

        `team` is our workspace: a user id says who somebody is together with theirs only.
        """
        self._ops = ops
        self._api = api
        self._store = store
        self._pool = pool
        self._heavy = HeavyLine(heavy)
        self._refresh_home = refresh_home
        self._floods = floods
        self._team = team
        self._waiting = threading.BoundedSemaphore(WAITING_MOST)

    def take(self, act: Act) -> None:
        """Hand an act to the pool; never blocks. What does not fit is not answered now but after a restart.

        What is heavy waits in a line of its own, and is told that it is busy where that is too long.
        """
        if act.kind in {"commanded", "clicked"} and act.verb != REFRESH and act.actor.team not in {None, self._team}:
            act = replace(act, kind="foreign")
        if not self._waiting.acquire(blocking=False):
            logger.error("desk_full act=%s", act.id)
        elif act.kind != "commanded" and act.verb not in SAYS:
            self._pool.submit(self._work, act, None)
        else:
            progress = Progress(lambda words: self._say_progress(act, words))
            if not is_heavy(SAYS.get(act.verb, "") if act.kind != "commanded" else act.text):
                self._pool.submit(self._work, act, progress)
            elif self._heavy.put(act.actor.id, lambda: self._work(act, progress)):
                progress.follow("waits for its turn")
            else:
                self._pool.submit(self._work, replace(act, kind="crowded"), None)

    def field_errors(self, act: Act) -> Mapping[str, str]:
        """What to say at which field of a form that was sent, before it is acknowledged."""
        found = VALUE.fullmatch(act.value)
        if found and found["word"] and not self._is_done(act) and not may_use(self._store, act, found["word"]):
            return dict.fromkeys(act.inputs, f"{USED} Close this form; the request's card has a button, too.")
        return field_errors(self._ops, act)

    def what_was_left(self) -> list[Act]:
        """What an earlier process acked and did not answer. To be asked before anything new can come in."""
        since = self._ops.now() - timedelta(hours=24)
        query = Query(kinds=("commanded", "clicked", "answered"), since=since)
        events = self._ops.view.find(query)
        answered = {event.data["to"] for event in events if event.kind == "answered" and event.data}
        return [
            self._as_left(event)
            for event in events
            if event.kind != "answered" and event.actor.startswith("slack:") and event.id not in answered
        ]

    def _as_left(self, event: Event) -> Act:
        """The act to do again, or, where it is too old or a secret was cut out of it, to be answered only."""
        act = act_of(event)
        young = self._ops.now() - event.at < REDO_WITHIN and "«" not in "".join((act.text, *act.inputs.values()))
        return act if young else replace(act, kind="too_late")

    def _work(self, act: Act, progress: Progress | None) -> None:
        try:
            reply = self._reply_to(act, progress)
            self._floods.answered(act.id, act.actor, refused=not reply.ok if reply else act.kind == "unfit")
            if reply is not None:
                self._respond(act, reply)
        except SlackUnavailableError as error:
            logger.warning("answer_not_delivered act=%s error=%s", act.id, error)
        except Exception:
            logger.exception("desk_failed_unexpectedly act=%s", act.id)
        finally:
            self._waiting.release()

    def _reply_to(self, act: Act, progress: Progress | None) -> Reply | None:
        if act.kind == "log_down":
            return Reply(Page("The log is unavailable: nothing was done", body=[Paragraph((LOG_DOWN,))]), ok=False)
        if act.kind == "flooded":
            return Reply(Page("Your clicks are not looked at for a minute", body=[Paragraph((FLOODED,))]), ok=False)
        if act.kind == "foreign":
            return guarded(self._ops, _foreign, actor=act.actor, act=act.id, word=act.verb)
        if act.kind == "too_late":
            return guarded(self._ops, _too_late, actor=act.actor, act=act.id, word=act.verb)
        if act.kind == "unfit":
            guarded(self._ops, lambda: self._click(act, progress), actor=act.actor, act=act.id, word=act.verb)
            return None  # the form, which is still open, says at the field what is wrong
        if act.kind == "crowded":
            return crowded(self._ops, act.text, actor=act.actor, act=act.id)
        if act.kind == "commanded" and act.trigger and not act.text.strip():
            reply = guarded(self._ops, lambda: self._offer(act), actor=act.actor, act=act.id, word="help")
            return None if reply.data == SILENT else reply
        if progress is not None and act.kind == "commanded":
            with progress:
                return answer(
                    self._ops, self._line(act), actor=act.actor, front=Front.SLACK, act=act.id, progress=progress.note
                )
        reply = guarded(self._ops, lambda: self._click(act, progress), actor=act.actor, act=act.id, word=act.verb)
        return None if reply.data == SILENT else reply

    def _offer(self, act: Act) -> Reply:
        """What a bare command opens: a form to choose from; where that cannot be, the page that tells the words."""
        check_member(self._ops, act.actor)
        try:
            open_choice(self._ops, self._api, act)
        except OpsError as error:
            logger.info("form_not_opened act=%s error=%s", act.id, error.message)
            return run_line(self._ops, "help", act.actor, Front.SLACK, act.id)
        return Reply(Page("The form is open."), SILENT)

    def _line(self, act: Act) -> str:
        """What was typed; in the thread of a card the number of its request may be left out."""
        card = self._store.card_at(act.channel, act.thread) if act.channel and act.thread else None
        return line_about(act.text, card.request) if card else act.text

    def _click(self, act: Act, progress: Progress | None) -> Reply:
        """What a button or a form asks for, once it is certain that we gave it to this person."""
        if (act.verb, act.value) == (REFRESH, REFRESH):
            # It carries no authority, so it does not matter where it was pressed: everybody gets their own Home only.
            self._refresh_home(act.actor)
            return Reply(Page("Home is shown anew."), SILENT)
        if act.verb in LOOKS:
            return self._look(act)
        found = VALUE.fullmatch(act.value)
        if found is None or found["verb"] != act.verb:
            raise _forged()
        check_member(self._ops, act.actor)
        request = find_request(self._ops.view, found["request"])
        asked = inputs_of(act.verb, request)
        if act.inputs and act.inputs.keys() != asked:
            raise _forged()  # no form of ours, or of another button
        self._check_place(act, request, found["word"], has_form=bool(asked))
        if asked and not act.inputs:
            open_form(self._ops, self._api, act, request)
            return Reply(Page("The form is open."), SILENT)
        reply = self._decide(act, request, found, progress)
        if found["word"]:
            use(self._store, act, found["word"])  # what was refused, such as a wrong code, may be sent again
        return reply

    def _look(self, act: Act) -> Reply:
        """The page beside the one that the button was below, for the person whom that was shown to."""
        line = line_behind(self._store, act)
        if line is None:
            raise OpsError(Reason.FORGED_VALUE, USED, "Type `history` again.", exit_code=3)
        check_member(self._ops, act.actor)
        return run_line(self._ops, line, act.actor, Front.SLACK, act.id)

    def _decide(self, act: Act, request: Request, found: re.Match[str], progress: Progress | None) -> Reply:
        """Do what the button or the form stands for."""
        match found["verb"], bool(act.inputs):
            case "approve", _:
                proofs = proofs_of(act)
                decided = approve(self._ops, request.id, act.actor, act.id, found["prefix"], proofs=proofs)
                return approved_reply(decided, self._ops.now())
            case "override", True:
                code = proofs_of(act).code
                override(self._ops, request.id, act.actor, act.id, found["prefix"], code)
                return overridden_reply(find_request(self._ops.view, request.id))
            case "reject", True:
                because = act.inputs.get(REASON, "").strip()
                decided = reject(self._ops, request.id, act.actor, act.id, found["prefix"], because)
                return rejected_reply(decided, self._ops.now())
            case verb, _ if verb in SAYS and progress is not None:
                check_plan(request, found["prefix"])
                with progress:
                    return run_line(
                        self._ops, f"{SAYS[verb]} {request.id}", act.actor, Front.SLACK, act.id, progress.note
                    )
            case "stop", _:
                check_plan(request, found["prefix"])
                return stopped_reply(self._ops, request.id, act.actor, act.id)
            case _:
                check_plan(request, found["prefix"])
                cancel(self._ops, request.id, act.actor, act.id, "taken back")
                return Reply(Page(f"{request.id} is cancelled. Nothing was run."), request=request.id)

    def _is_done(self, act: Act) -> bool:
        """Whether it was done before a restart and only not answered; its one-time word is used up then."""
        return any(self._ops.view.act(f"{act.id}:{done}") for done in DONE)

    def _check_place(self, act: Act, request: Request, word: str | None, *, has_form: bool) -> None:
        """A click counts only from the recorded card, or from a private answer by the person it was given to."""
        if self._is_done(act):
            return
        if word is not None:
            if not (may_use if has_form else use)(self._store, act, word):
                raise _stale(act, request, USED)
            return
        if act.inputs:
            return  # a form: we opened it for this person after these same checks, and Slack keeps its value
        card = self._store.card_at(act.channel or "", act.message or "")
        if card is None or card.request != request.id or act.is_private:
            raise _stale(act, request, f"That message is not the card of {request.id}.")
        try:
            refuse_shared(self._api, card.channel)
        except SlackUnavailableError as error:
            raise OpsError(
                Reason.SHARED_CHANNEL,
                f"Slack does not say that this channel is our company's alone ({error.error}), so this does not count.",
                "Try again in a moment, or decide in a channel that is not shared.",
                exit_code=3,
            ) from error

    def _respond(self, act: Act, reply: Reply) -> None:
        """The private answer: through the response_url while it works, else to the person in the channel, else directly."""
        page = with_words(self._store, self._with_file(act, reply), act.actor.id)
        body = {"text": text_of(page), "blocks": blocks_of(page)}
        pictures = self._pictures(reply)
        if act.response_url:
            # A file that somebody deleted or may not see makes Slack refuse all of the answer, so it is said without, then.
            for blocks in [[*body["blocks"], *pictures], body["blocks"]] if pictures else [body["blocks"]]:
                answer = {**body, "blocks": blocks, "response_type": "ephemeral", "replace_original": False}
                try:
                    self._api.post_to(act.response_url, answer)
                except SlackUnavailableError as error:
                    logger.info("response_url_refused act=%s error=%s", act.id, error)
                else:
                    return
        self._tell_person(act, body)

    def _with_file(self, act: Act, reply: Reply) -> Page:
        """The page of a reply, after its file went to the person directly: nobody else is in that conversation."""
        if reply.file is None:
            return reply.page
        try:
            direct = self._api.call("conversations.open", users=act.actor.user)["channel"]["id"]
            comment = f"You asked for this with {COMMAND} {act.verb or act.text[:SAID_LETTERS]}"
            held = clean(reply.file.text) if isinstance(reply.file.text, str) else reply.file.text
            self._api.upload(direct, None, reply.file.name, held, escape(clean(comment)))
        except SlackUnavailableError as error:
            logger.warning("file_not_delivered act=%s error=%s", act.id, error)
            where: Line = (f"Slack did not take the file with all of it ({error.error}); the terminal has it.",)
        else:
            where = ("All of it is in ", Code(reply.file.name), ", which I sent to you directly.")
        return replace(reply.page, body=[*reply.page.body, Paragraph(where)])

    def _pictures(self, reply: Reply) -> Blocks:
        """The timeline that is in the request's thread already, shown here as well."""
        file = self._store.picture(reply.pictured) if reply.pictured else None
        alt = clean(str(reply.data["timeline"]["title"])) if file else ""
        return [{"type": "image", "slack_file": {"id": file}, "alt_text": alt}] if file else []

    def _tell_person(self, act: Act, body: Mapping[str, Any]) -> None:
        slack = self._ops.settings.slack
        channel = act.channel or (slack.channel if slack else None)
        if channel is not None:
            try:
                there: dict[str, Any] = {"thread_ts": act.thread} if act.thread else {}
                self._api.call("chat.postEphemeral", channel=channel, user=act.actor.user, **there, **body)
            except SlackUnavailableError as error:
                logger.info("private_answer_refused act=%s error=%s", act.id, error)
            else:
                return
        direct = self._api.call("conversations.open", users=act.actor.user)
        self._api.call("chat.postMessage", channel=direct["channel"]["id"], **body)

    def _say_progress(self, act: Act, words: str) -> None:
        if act.response_url:
            text = f"Working on it: {escape(clean(words))}…"
            body = {"text": text, "response_type": "ephemeral", "replace_original": False}
            self._api.post_to(act.response_url, body)


def _foreign() -> Reply:
    raise OpsError(
        Reason.NOT_A_MEMBER,
        "You cannot use Countersign here: you belong to another workspace.",
        "Ask a full member of this workspace.",
        exit_code=3,
    )


def _too_late() -> Reply:
    raise OpsError(
        Reason.EXPIRED,
        "The bot was down when you said this, and too long ago to do it now. Nothing was done.",
        "Say it again if you still want it.",
        exit_code=3,
    )


def _forged() -> OpsError:
    return OpsError(
        Reason.FORGED_VALUE,
        "That button does not say which request and which plan it stands for.",
        "Use the buttons of the request's own card.",
        exit_code=3,
    )


def _stale(act: Act, request: Request, message: str) -> OpsError:
    said = f"{act.verb} {request.id} <reason>" if act.verb == "reject" else f"{act.verb} {request.id}"
    said = f"push {request.environment} --emergency <why>" if act.verb == "override" else said
    return OpsError(Reason.STALE_CARD, message, f"Use the newest card, or type `{said}`.", exit_code=3)
