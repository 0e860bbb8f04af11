"""`countersign demo`: the whole route on a desk. `--play` acts one scene; without it, a chat in the terminal."""

import re
import sys
import textwrap
import threading
import time

from sandbox.example import PENDING_ON_PROD
from sandbox.slack_answer import Answer
from sandbox.slack_answer import until
from sandbox.stage import Stage

WIDTH = 140
NEWEST = "select version, name from supabase_migrations.schema_migrations order by 1 desc limit 3"
PEOPLE = {"ana": "U0ANA", "ben": "U0BEN", "chi": "U0CHI", "dee": "U0DEE", "gus": "U0GUS", "audra": "U0AUDRA"}

HELP = """\
Write as somebody:   ana: /migrate push prod
Press a button:      ben: click Approve
Send a form:         ben: reason not on a Friday
Look:                sql prod select * from orders limit 3     log     help     quit
People: ana (asks), ben and chi (@database-owners), dee (member), gus (guest), audra (auditor)"""


def play() -> int:
    """One scene from plan to verified log, in readable lines. 0 when everything went as it should."""
    began = time.monotonic()
    _title("A Slack, two databases and a repository are set up on this machine")
    with Stage() as stage:
        stage.start_bot()
        _say(f"A bot is connected over Socket Mode. prod lacks the last {PENDING_ON_PROD} of 17 migrations.")
        ok = _scene(stage)
    _title(f"{'Done' if ok else 'Something went wrong'} in {time.monotonic() - began:.0f} s")
    return 0 if ok else 1


def _scene(stage: Stage) -> bool:
    slack = stage.slack

    _title("Ana looks at what would run")
    _said("Ana", "/migrate plan prod")
    _bot(_answer(stage, slack.say("U0ANA", "/migrate plan prod")))

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
        _bot(_answer(stage, slack.click(person, "Approve", about="R-1")))

    _title("Ben says yes; a backup is proven by restoring it, then the migrations run")
    _said("Ben", "presses Approve")
    _bot(_answer(stage, slack.click("U0BEN", "Approve", about="R-1")))
    done = until(lambda: _card(stage, "R-1 · shop/prod · 3 migrations: done"), 90)
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


def chat() -> int:
    """The same world, to be played with from the keyboard, until `quit` or the end of input."""
    print("Setting up a Slack, two databases and a repository …")
    with Stage() as stage:
        stage.start_bot()
        print(HELP)
        over = threading.Event()
        threading.Thread(target=_follow, args=(stage, over), daemon=True).start()
        try:
            while (line := _read()) is not None and line not in {"quit", "exit"}:
                _do(stage, line)
        finally:
            over.set()
    return 0


def _read() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return None


def _do(stage: Stage, line: str) -> None:
    """One line of the chat."""
    try:
        if match := re.fullmatch(r"(\w+):\s*/migrate\s*(.*)", line):
            stage.slack.say(PEOPLE[match[1].lower()], f"/migrate {match[2]}")
        elif match := re.fullmatch(r"(\w+):\s*click\s+(.+)", line):
            answer = stage.slack.click(PEOPLE[match[1].lower()], match[2])
            view = answer.modal(1.0)
            print(f"    {stage.slack.render(view)}" if view else "", end="\n" if view else "")
        elif match := re.fullmatch(r"(\w+):\s*reason\s+(.+)", line):
            person = PEOPLE[match[1].lower()]
            view = stage.slack.modal(person)
            if view is not None:
                stage.slack.submit(person, view, {"Reason": match[2]})
        elif match := re.fullmatch(r"sql\s+(dev|prod)\s+(.+)", line):
            for row in stage.sql(match[1], match[2]):
                print("   ", *row)
        elif line == "log":
            print(stage.cli("audit", "query", "--limit", "1000").out)
        elif line:
            print(HELP)
    except Exception as error:  # whatever was typed, the chat goes on
        print(f"    {type(error).__name__}: {error}")


def _follow(stage: Stage, over: threading.Event) -> None:
    """Print every message as it appears or changes."""
    seen: dict[str, str] = {}
    while not over.wait(0.2):
        for message in list(stage.slack.channel("deploys").messages):
            text = stage.slack.render(message)
            if seen.get(message.ts) != text:
                seen[message.ts] = text
                _channel(text, indent=8 if message.thread_ts else 4)
        for name, person in PEOPLE.items():
            for message in stage.slack.channel("deploys").ephemeral(person):
                text = stage.slack.render(message)
                if seen.get(f"{person}{message.ts}") != text:
                    seen[f"{person}{message.ts}"] = text
                    _bot(f"(only {name.capitalize()} sees this)\n{text}")


def _answer(stage: Stage, answer: Answer) -> str:
    """The private answer to one act, as the person reads it."""
    answer.text(20)
    return "\n".join(stage.slack.render(message) for message in answer.messages())


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
