"""`countersign demo`: the whole route on a desk. `--play` acts one scene; without it, a page in the browser."""

import contextlib
import signal
import sys
import textwrap
import threading
import time

from sandbox.example import PENDING_ON_PROD
from sandbox.page import PageServer
from sandbox.page import listen
from sandbox.page_world import World
from sandbox.slack_answer import Answer
from sandbox.slack_answer import until
from sandbox.stage import WITH_REHEARSAL
from sandbox.stage import Stage

WIDTH = 140
ANSWER_SECONDS = 90.0
PROGRESS = "Working on it"
NEWEST = "select version, name from supabase_migrations.schema_migrations order by 1 desc limit 3"


def play() -> int:
    """One scene from plan to verified log, in readable lines. 0 when everything went as it should."""
    began = time.monotonic()
    _title("A Slack, two databases and a repository are set up on this machine")
    with Stage(prod=WITH_REHEARSAL) as stage:
        stage.start_bot()
        _say(f"A bot is connected over Socket Mode. prod lacks the last {PENDING_ON_PROD} of 17 migrations.")
        ok = _scene(stage)
    _title(f"{'Done' if ok else 'Something went wrong'} in {time.monotonic() - began:.0f} s")
    return 0 if ok else 1


def _scene(stage: Stage) -> bool:
    slack = stage.slack

    _title("Ana looks at what would run")
    _said("Ana", "/migrate plan prod")
    _bot(answer_of(stage, slack.say("U0ANA", "/migrate plan prod")))

    _title("Ana asks for it")
    _said("Ana", "/migrate push prod")
    slack.say("U0ANA", "/migrate push prod")
    card = until(lambda: _card(stage, "Approve for prod"), 30)
    if card is None:
        return False
    _channel(card)

    _title("Who may not say yes, cannot")
    for person, name in (("U0GUS", "Gus (a guest)"), ("U0ANA", "Ana (who asked)")):
        _said(name, "presses Approve")
        _bot(answer_of(stage, slack.click(person, "Approve", about="R-1")))

    _title("Ben says yes; a backup is proven by restoring it, then the migrations run")
    _said("Ben", "presses Approve")
    _bot(answer_of(stage, slack.click("U0BEN", "Approve", about="R-1")))
    done = until(lambda: _card(stage, "R-1 · shop/prod: done"), 90)
    if done is None:
        print(stage.bot_log.read_text()[-2000:], file=sys.stderr)
        return False
    _channel(done)
    until(lambda: any("R-1 is done" in note for note in _thread(stage)), 10)
    for note in _thread(stage):
        _channel(note, indent=8)

    _title("What is on prod now")
    for version, name in stage.sql("prod", NEWEST):
        _say(f"{version}  {name}")

    _title("The audit log")
    _said("Audra", "countersign audit verify")
    verified = stage.cli("audit", "verify")
    _say(verified.out or verified.err)
    for event in stage.events("requested", "refused", "approved", "started", "backup_proven", "succeeded"):
        _say(f"#{event.seq:<4}{event.at:%H:%M:%S}  {event.kind:<14}{event.actor}")
    return verified.code == 0


def serve(port: int) -> int:
    """The whole world with its page, until Ctrl-C. Raises OpsError(BAD_CONFIG) when the port is taken."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)  # whatever ends the demo, nothing of it is left
    listening = listen(port)
    _title("A Slack in your browser, the bot, two databases and a repository are set up on this machine")
    try:
        with contextlib.closing(listening), Stage(prod=WITH_REHEARSAL, movable_clock=True, progress=_set_up) as stage:
            world = World(stage)
            _set_up("the bot")
            world.start_bot()
            with world, PageServer(world, listening) as page:
                _title(f"Open {page.url}")
                _say("You are Ana. Type /migrate plan prod, then follow the guide on the page. Ctrl-C ends it all.")
                threading.Event().wait()
    except KeyboardInterrupt:
        print(flush=True)
    return 0


def _set_up(what: str) -> None:
    _say(f"setting up {what} …")


def answer_of(stage: Stage, answer: Answer) -> str:
    """The private answer to one act, as the person reads it."""
    said: list[str] = until(lambda: _ended(stage, answer), ANSWER_SECONDS) or _messages(stage, answer)
    return "\n".join(said)


def _ended(stage: Stage, answer: Answer) -> list[str] | None:
    """What was answered, without the lines that tell how far it is; None while there are only those."""
    return [said for said in _messages(stage, answer) if not said.startswith(PROGRESS)] or None


def _messages(stage: Stage, answer: Answer) -> list[str]:
    return [stage.slack.render(message) for message in answer.messages()]


def _card(stage: Stage, wanted: str) -> str | None:
    """The newest card that shows these words, as people read it."""
    messages = [one for one in stage.slack.channel("deploys").messages if not one.thread_ts]
    shown = [stage.slack.render(message) for message in messages]
    return next((text for text in reversed(shown) if wanted in text), None)


def _thread(stage: Stage) -> list[str]:
    messages = [one for one in stage.slack.channel("deploys").messages if one.thread_ts]
    return [stage.slack.render(message) for message in messages]


def _title(words: str) -> None:
    print(f"\n=== {words}", flush=True)


def _said(who: str, words: str) -> None:
    print(f"  {who}: {words}", flush=True)


def _say(words: str) -> None:
    print(textwrap.indent(words.rstrip(), "    "), flush=True)


def _bot(words: str) -> None:
    print(textwrap.indent(_wrapped(words), "    | "), flush=True)


def _channel(words: str, indent: int = 4) -> None:
    print(textwrap.indent(_wrapped(words), " " * indent + "# "), flush=True)


def _wrapped(words: str) -> str:
    lines: list[str] = []
    for line in words.splitlines():
        lines += textwrap.wrap(line, WIDTH, replace_whitespace=False, drop_whitespace=False) or [""]
    return "\n".join(lines)
