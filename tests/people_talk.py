"""Helpers for tests in which people talk to the real bot: small stages, the card of a request, what must always hold."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from slack_rules import problems

from sandbox.slack_answer import Answer
from sandbox.slack_answer import until
from sandbox.slack_state import Message
from sandbox.stage import Stage

ANA, BEN, CHI, DEE, GUS, OTTO = "U0ANA", "U0BEN", "U0CHI", "U0DEE", "U0GUS", "U0OTTO"
CLICK_SECONDS = 20.0


def rules(approvals: int = 1, *more: str, approvers: str = '"@database-owners"') -> str:
    """The lines of a protected environment without a backup, so that a run takes a moment only."""
    return "\n".join([f"approvals = {approvals}", f"approvers = [{approvers}]", 'backup = "none"', *more])


def small(make_stage: Callable[..., Stage], prod: str | None = None, start: bool = True, **settings: object) -> Stage:
    """A stage with one pending migration and nothing applied, the bot running."""
    stage = make_stage(prod=prod or rules(), empty=True, **settings)
    stage.migration("20260101000001_add_notes.sql", "create table public.notes (id int primary key);\n")
    if start:
        stage.start_bot()
    return stage


def cards(stage: Stage) -> list[Message]:
    """The first messages of threads in #deploys, oldest first."""
    return [one for one in stage.slack.channel("deploys").messages if not one.thread_ts]


def card(stage: Stage, words: str, seconds: float = 30) -> str:
    """The newest card that shows these words, as people read it."""

    def look() -> str | None:
        shown = [stage.slack.render(one) for one in cards(stage)]
        return next((text for text in reversed(shown) if words in text), None)

    found = until(look, seconds)
    assert found is not None, f"no card shows {words!r}:\n" + "\n".join(map(stage.slack.render, cards(stage)))
    return found


def thread(stage: Stage, root: Message) -> str:
    """Everything below a card, as people read it."""
    return "\n".join(stage.slack.render(one) for one in stage.slack.channel("deploys").thread(root.ts))


def ask(stage: Stage, who: str = ANA, words: str = "/migrate push prod") -> Message:
    """Ask for a push and wait until its card can be approved; the card."""
    before = len(stage.events("requested"))
    assert stage.slack.say(who, words).error is None
    wait_for(lambda: len(stage.events("requested")) > before)
    number = stage.events("requested")[-1].request
    found = until(lambda: next(iter(_approvable(stage, f"{number} · ")), None), 30)
    assert found is not None, f"{number} has no card that can be approved"
    return found


def _approvable(stage: Stage, words: str) -> list[Message]:
    shown = [(one, stage.slack.render(one)) for one in cards(stage)]
    return [one for one, text in shown if words in text and "[Approve for prod]" in text]


def approve(stage: Stage, who: str, about: str = "R-1") -> str:
    """Press Approve; what the person is told."""
    return told(stage.slack.click(who, "Approve", about=about))


def told(answer: Answer) -> str:
    """The private answer, once it is there. Everybody gets one, and an acknowledgement as soon as Slack wants it."""
    assert answer.error is None
    text = until(lambda: "\n".join(answers(answer)), CLICK_SECONDS)
    assert text, "nobody answered"
    return text


def answers(answer: Answer) -> list[str]:
    """What a person was told so far, without the lines that only say that work goes on: a busy machine brings those."""
    return [text for text in answer.texts() if not text.startswith("Working on it: ")]


def at_once(*acts: Callable[[], Answer]) -> list[str]:
    """Several people act at the same instant; what each is told."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return [told(answer) for answer in [future.result() for future in [pool.submit(act) for act in acts]]]


def value_of(message: Message, verb: str) -> str:
    """The value of a message's button."""
    elements = [element for block in message.blocks for element in block.get("elements", [])]
    return str(next(one["value"] for one in elements if one.get("action_id") == verb))


def kinds(stage: Stage, request: str = "R-1") -> list[str]:
    """What happened to a request, without the steps of its run."""
    seen = ("requested", "approved", "rejected", "cancelled", "expired", "superseded", "started", "succeeded", "failed")
    return [one.kind for one in stage.events(*seen) if one.stream == f"request:{request}"]


def applied(stage: Stage) -> bool:
    """Whether the one migration of a small stage is on prod."""
    return bool(stage.sql("prod", "select to_regclass('public.notes') is not null")[0][0])


def refusals(stage: Stage) -> list[str]:
    """The reason codes of all refusals, in order."""
    return [str((event.data or {})["reason"]) for event in stage.events("refused")]


def wait_for(look: Callable[[], object], seconds: float = 15, what: str = "") -> None:
    """Until it is so; fails with `what` when it never is."""
    assert until(lambda: look() or None, seconds), what or "it never came to be"


def settled(stage: Stage, seconds: float = 0.6) -> None:
    """A moment in which nothing more is said: for what must not happen."""
    time.sleep(seconds)
    wait_for(lambda: len(stage.slack.calls) == _after(stage, 0.2), 10)


def _after(stage: Stage, seconds: float) -> int:
    time.sleep(seconds)
    return len(stage.slack.calls)


def _unanswered(stage: Stage) -> set[str]:
    asked = {one.id for one in stage.events("commanded", "clicked") if one.actor.startswith("slack:")}
    return asked - {(one.data or {})["to"] for one in stage.events("answered")}


def in_order(stage: Stage, *secrets: str) -> None:
    """What always holds: payloads that Slack takes, everybody answered, no secret anywhere, nothing unforeseen."""
    log = stage.bot_log.read_text()
    said = stage.slack.everything_said()
    wait_for(lambda: not _unanswered(stage), 10, "somebody was not answered")
    assert problems(stage.slack.posts()) == []
    assert not re.search("Traceback|unexpected", log), log[-3000:]
    events = "\n".join(str(one) for one in stage.events())
    for secret in (*secrets, stage.slack.bot_token, stage.slack.app_token, stage.slack.signing_secret):
        assert secret not in said + log + events
