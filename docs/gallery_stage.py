"""The stage of the gallery: the real bot, a Slack and three databases, on which the scenes are played one after the other."""

import secrets
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any
from typing import TypeVar

import psycopg

from audit import Draft
from audit import Log
from sandbox.postgres import LocalPostgres
from sandbox.slack_answer import Answer
from sandbox.slack_answer import until
from sandbox.slack_state import Message
from sandbox.slack_state import View
from sandbox.slack_workspace import UserGroup
from sandbox.stage import Stage

ANA, BEN, CHI, DEE, GUS = "U0ANA", "U0BEN", "U0CHI", "U0DEE", "U0GUS"
RULES = """\
approvals = 2
approvers = ["@database-owners"]
backup = "restored"
rehearsal = "required"
drift_check = "off"

[[projects.shop.environments.prod.health]]
name = "orders can be read"
sql = "select count(*) >= 0 from public.orders"

[projects.shop.environments.staging]
database_url = "$SHOP_STAGING_DATABASE_URL"
branch = "main"
approvals = 1
approvers = ["@database-owners"]
backup = "none"
rehearsal = "off"
drift_check = "off"

[projects.shop.environments.preview]
database_url = "$SHOP_STAGING_DATABASE_URL"
branch = "main"
approvals = 1
approvers = ["@database-owners"]
backup = "none"
rehearsal = "required"
drift_check = "off"
hazards = { data_loss = { approvals = 2 }, access = { approvers = ["@security"] } }

[projects.shop.environments.eu]
database_url = "$SHOP_STAGING_DATABASE_URL"
branch = "main"
approvals = 1
approvers = ["@database-owners"]
rules = [{ name = "security", approvers = ["@security"] }]
backup = "none"
rehearsal = "off"
drift_check = "off"
"""
SECURITY = UserGroup("S0SECURITY", "security", ("U0DEE",))
Seen = TypeVar("Seen")

WAIT_SECONDS = 40.0
TICK_SECONDS = 600
"""Between two scenes the clock moves to the next ten minutes, so that a moment's ten minutes are the same in every run."""


@dataclass(frozen=True)
class Shown:
    """What somebody sees at the end of a scene, as it was sent. `title`, `submit`, `close`, `errors` are a modal's."""

    kind: str
    text: str
    blocks: list[dict[str, Any]]
    only_for_me: bool = False
    title: str = ""
    submit: str = ""
    close: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)


class NeverSeenError(Exception):
    """What a scene waits for did not come."""


def needed(found: Seen | None, otherwise: str) -> Seen:
    """The same, where it is there. Raises NeverSeenError."""
    if found is None:
        raise NeverSeenError(otherwise)
    return found


class Story:
    """A stage at work, with the few things that people do in the scenes."""

    def __init__(self, stage: Stage, staging: str) -> None:
        self.stage = stage
        self.slack = stage.slack
        self.clock = needed(stage.clock, "the stage has no clock that can be moved")
        self._staging = staging
        self.tick()
        self.began = int(self.clock.seconds()) // TICK_SECONDS * TICK_SECONDS
        self.names = {name: shown for shown, name in {**stage.databases, "staging": staging}.items()}

    def tick(self) -> None:
        """Move the clock to the next ten minutes."""
        self.clock.forward(TICK_SECONDS - int(self.clock.seconds()) % TICK_SECONDS)

    # --- what people do ------------------------------------------------------------------------------

    def say(self, who: str, words: str) -> Shown:
        """Type it; the private answer."""
        return self._told(self.slack.say(who, words))

    def press(self, who: str, label: str, about: str) -> Shown:
        """Press a card's button; the private answer."""
        return self._told(self.slack.click(who, label, about=about, wait=WAIT_SECONDS))

    def form(self, who: str, label: str, about: str) -> tuple[View, Shown]:
        """Press a button that opens a form; the form."""
        return self._opened(self.slack.click(who, label, about=about, wait=WAIT_SECONDS), label)

    def choice(self, who: str) -> Shown:
        """Type the command alone; the form that it opens, closed again."""
        view, shown = self._opened(self.slack.say(who, "/migrate"), "/migrate")
        self.slack.close(who, view)
        return shown

    def _opened(self, answer: Answer, label: str) -> tuple[View, Shown]:
        view = needed(answer.modal(WAIT_SECONDS), f"{label} opens no form")
        body = view.body
        words = {name: body[name]["text"] for name in ("title", "submit", "close")}
        return view, Shown("modal", "", list(body["blocks"]), **words)

    def home(self, who: str, words: str) -> Shown:
        """Open Home; what is there once these words are on it."""
        self.slack.open_home(who)

        def look() -> View | None:
            view = self.slack.home(who)
            return view if view is not None and words in self.slack.render(view) else None

        view = self.wait(look, f"Home of {who} says {words!r}")
        return Shown("home", "", list(view.body["blocks"]))

    def ask(self, environment: str) -> str:
        """Ana asks for a push, and its card comes to wait; the request's number."""
        before = len(self.stage.events("requested"))
        self.slack.say(ANA, f"/migrate push {environment}")
        self.wait(lambda: len(self.stage.events("requested")) > before, f"a push to {environment} is asked for")
        number = str(self.stage.events("requested")[-1].request)
        self.card(number, "[Approve for")
        return number

    def approved(self, environment: str) -> str:
        """A push that Ana asked for and Ben approved; the request's number."""
        number = self.ask(environment)
        self.press(BEN, "Approve", number)
        return number

    # --- what can be seen ----------------------------------------------------------------------------

    def card(self, number: str, words: str) -> Shown:
        """The card of a request, once these words are on it."""
        return _message(self.wait(lambda: self._card(number, words), f"the card of {number} says {words!r}"))

    def card_of_next(self, kind: str, words: str) -> Shown:
        """The card of the newest request of this kind, once there is one and these words are on it."""

        def look() -> str | None:
            found = [one for one in self.stage.events("requested") if (one.data or {})["kind"] == kind]
            return found[-1].request if found else None

        return self.card(self.wait(look, f"a {kind} is asked for"), words)

    def note(self, number: str, words: str) -> Shown:
        """The note with these words in the thread of a request's card."""

        def look() -> Message | None:
            threads = {one.ts for one in self._cards() if f"{number} " in self.slack.render(one)}
            notes = [one for one in self.slack.channel("deploys").messages if one.thread_ts in threads]
            return next((one for one in notes if words in self.slack.render(one)), None)

        return _message(self.wait(look, f"a note in the thread of {number} says {words!r}"))

    def letter(self, who: str, words: str) -> Shown:
        """The direct message to somebody with these words."""

        def look() -> Message | None:
            return next((one for one in self.slack.direct(who).messages if words in self.slack.render(one)), None)

        return _message(self.wait(look, f"{who} is told {words!r}"))

    def newest(self) -> str:
        """The number of the newest request."""
        return str(self.stage.events("requested")[-1].request)

    def wait(self, look: Callable[[], Seen | None], what: str) -> Seen:
        """What there is once there is something. Raises NeverSeenError with all that stands there instead."""
        found = until(look, WAIT_SECONDS)
        if not found:
            shown = [self.slack.render(one) for one in self.slack.channel("deploys").messages[-12:]]
            instead = "\n".join([*shown, self.stage.bot_log.read_text()[-1500:]])
            raise NeverSeenError(f"it never came to it that {what}; instead:\n{instead}")
        return found

    # --- what happens behind it ----------------------------------------------------------------------

    def migration(self, name: str, sql: str) -> None:
        """Mia commits a migration, or another text of one that is nowhere yet."""
        self.stage.migration(name, sql)

    @contextmanager
    def table_read(self, table: str) -> Iterator[int]:
        """Somebody's long report reads a table of staging meanwhile, so that it cannot be altered."""
        url = self.stage.postgres.url(self._staging)
        with closing(psycopg.connect(url, application_name="monthly report")) as connection:
            connection.execute(f"LOCK TABLE {table} IN ACCESS SHARE MODE".encode())
            yield connection.info.backend_pid

    def lose_runner(self, number: str) -> None:
        """What the log says when a runner died in the middle and nobody could find out what became of a statement."""
        requested = next(one for one in self.stage.events("requested") if one.request == number)
        data = requested.data or {}
        versions = [file["version"] for file in data["plan"]["files"]]
        why = "The connection was lost during a COMMIT, and the server no longer knows what became of it."
        unknown = {
            "reason": "outcome_unknown",
            "message": why,
            "step": "migrate",
            "applied": [],
            "unknown": versions,
        }
        started = {"digest": data["digest"], "attempt": 1, "runner": "host/1", "facts": {}}
        self.stage.stop_bot()
        with Log.open(self.stage.log_path, clock=self.clock.now) as log:
            for kind, told in (("started", started), ("interrupted", unknown)):
                draft = Draft(
                    kind=kind,
                    actor="system:runner",
                    stream=f"request:{number}",
                    data=told,
                    project="shop",
                    environment="staging",
                    request=number,
                )
                log.append([draft, replace(draft, stream="target:shop/staging")])
        self.stage.start_bot()

    # --- inside --------------------------------------------------------------------------------------

    def _told(self, answer: Answer) -> Shown:
        def look() -> Message | None:
            messages = answer.messages()
            return messages[-1] if messages and messages[-1].blocks else None

        return replace(_message(self.wait(look, "somebody answered")), only_for_me=True)

    def _cards(self) -> list[Message]:
        return [one for one in self.slack.channel("deploys").messages if not one.thread_ts]

    def _card(self, number: str, words: str) -> Message | None:
        for message in reversed(self._cards()):
            shown = self.slack.render(message)
            if shown.startswith(f"== {number} ") and words in shown:
                return message
        return None


def _message(message: Message) -> Shown:
    return Shown("message", message.text, [dict(block) for block in message.blocks])


@contextmanager
def story(postgres: LocalPostgres | None = None) -> Iterator[Story]:
    """The world at the beginning of the first scene. `postgres`: a running server to use instead of one of our own."""
    with Stage(prod=RULES, rate_limits=False, postgres=postgres, movable_clock=True) as stage:
        staging = f"staging_{secrets.token_hex(4)}"
        stage.sql("dev", f'CREATE DATABASE "{staging}" TEMPLATE "{stage.databases["prod"]}"')
        stage.environment["SHOP_STAGING_DATABASE_URL"] = stage.postgres.url(staging)
        stage.slack.workspace.groups[SECURITY.id] = SECURITY
        try:
            told = Story(stage, staging)
            stage.start_bot()
            yield told
        finally:
            stage.stop_bot()
            stage.postgres.drop_database(staging)
