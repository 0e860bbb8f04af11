"""The world behind the page: a stage, its bot being up or down, its faults, and a number that grows with every change."""

import contextlib
import signal
import threading
from typing import Any
from typing import Self

import psycopg

from audit import Query
from audit import Reader
from sandbox.page_clock import MovableClock
from sandbox.slack_state import Message
from sandbox.slack_workspace import Channel
from sandbox.slack_workspace import Person
from sandbox.stage import Stage

PARTNER_CHANNEL = Channel("C0PARTNER", "with-partner", ("U0COUNTER", "U0ANA", "U0BEN", "U0OTTO"), is_ext_shared=True)
SLACKBOT = "USLACKBOT"
SLOW_SECONDS = 2.0
TOO_MANY = 429


class BadRequestError(Exception):
    """What the page asked for makes no sense; the text is a sentence for whoever asked."""


class World:
    """One demo. Its methods may be called from any thread.

    `failed` has Slack's own word for each command that did not arrive, by the note's ts; `looked_at` the log's newest
    event when somebody last looked at the schema, the log or a file; `reports` the session that holds a table, if any.
    """

    def __init__(self, stage: Stage) -> None:
        """`stage` is entered already and has a clock that can be moved."""
        if stage.clock is None:
            raise ValueError("the page needs a stage with a movable clock")
        self.stage = stage
        self.slack = stage.slack
        self.clock: MovableClock = stage.clock
        self.restarts = 0
        self.failed: dict[str, str] = {}
        self.looked_at: dict[str, int] = {}
        self.reports: psycopg.Connection | None = None
        self.break_lock = threading.Lock()
        self.bot_lock = threading.Lock()
        self._bot_started = False
        self._revision_lock = threading.Lock()
        self._revision = 0
        self._seen: tuple[Any, ...] = ()
        self.slack.workspace.channels[PARTNER_CHANNEL.id] = PARTNER_CHANNEL

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.reports is not None:
            self.reports.close()

    # --- the bot -------------------------------------------------------------------------------------

    def start_bot(self) -> bool:
        """Start the bot unless it runs. True when it is ready, False when it must wait for Slack to answer it.

        Raises RuntimeError when it ended at once.
        """
        with self.bot_lock:
            if self.bot_pid() is not None:
                return True
            self.restarts += int(self._bot_started)
            self._bot_started = True
            if self.slack.down or self.slack.faults.always is not None:
                self.stage.launch_bot()
                return False
            self.stage.start_bot()
            return True

    def kill_bot(self) -> bool:
        """End the bot as a crash does. False when none runs."""
        with self.bot_lock:
            if self.bot_pid() is None:
                return False
            self.stage.stop_bot(signal.SIGKILL)
            return True

    def bot_pid(self) -> int | None:
        """The process of the bot; None when none runs."""
        bot = self.stage.bot
        return bot.pid if bot is not None and bot.poll() is None else None

    # --- faults --------------------------------------------------------------------------------------

    def faults(self) -> dict[str, bool]:
        faults = self.slack.faults
        return {
            "down": self.slack.down,
            "rate_limited": faults.always == TOO_MANY,
            "slow": faults.all_latency_seconds > 0,
        }

    def set_faults(self, *, down: bool | None, rate_limited: bool | None, slow: bool | None) -> None:
        """Switch faults on or off; None leaves one as it is."""
        if down is not None:
            self.slack.down = down
        if rate_limited is not None:
            self.slack.faults.always = TOO_MANY if rate_limited else None
        if slow is not None:
            self.slack.faults.all_latency_seconds = SLOW_SECONDS if slow else 0.0

    # --- people --------------------------------------------------------------------------------------

    def person(self, user: str) -> Person:
        """Somebody whom a visitor can be. Raises BadRequestError for the bot and for nobody."""
        person = self.slack.workspace.people.get(user)
        if person is None or person.is_bot:
            raise BadRequestError("There is nobody with that id here.")
        return person

    def note_failure(self, person: Person, channel: str, error: str, words: str) -> None:
        """Slack itself tells one person that something did not reach the bot."""
        state = self.slack.state
        with state.lock:
            note = Message(state.new_ts(), channel, SLACKBOT, words, only_for=person.id)
            self.failed[note.ts] = error
            state.put(note)

    def note_look(self, where: str) -> None:
        """Somebody looked at the `schema`, the `log` or the `sql` in a thread, as the guide wants to know."""
        self.looked_at[where] = self.head_seq()

    def head_seq(self) -> int:
        """The number of the log's newest event."""
        newest = Reader(self.stage.log_path).find(Query(limit=1, newest_first=True))
        return newest[0].seq if newest else 0

    # --- change --------------------------------------------------------------------------------------

    def revision(self) -> int:
        """A number that is another one whenever anything that the page shows may be another."""
        seen = self._look()
        with self._revision_lock:
            if seen != self._seen:
                self._seen = seen
                self._revision += 1
            return self._revision

    def _look(self) -> tuple[Any, ...]:
        """What changes when anything does, cheap to compare: it is asked twenty times a second by every open page."""
        state = self.slack.state
        with state.lock:
            slack = (
                len(state.said),
                len(state.messages),
                sum(file.complete for file in list(state.files.values())),
                tuple(view.hash for view in list(state.views.values())),
                tuple((user, *stack) for user, stack in list(state.stacks.items()) if stack),
            )
        return (
            *slack,
            self.bot_pid(),
            self.restarts,
            self.clock.ahead_seconds(),
            tuple(self.faults().values()),
            tuple(self.looked_at.items()),
            self._log_size(),
        )

    def _log_size(self) -> tuple[int, int]:
        wal = self.stage.log_path.with_name(f"{self.stage.log_path.name}-wal")
        found = [0, 0]
        for place, path in enumerate((self.stage.log_path, wal)):
            with contextlib.suppress(FileNotFoundError):
                found[place] = path.stat().st_mtime_ns
        return found[0], found[1]
