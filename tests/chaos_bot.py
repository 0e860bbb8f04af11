"""A lane of chaos with the real bot over the fake Slack: requests are approved, the bot is struck, and comes back."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from contextlib import closing
from typing import Any

import psycopg
from chaos_blows import BLOWS
from chaos_blows import Scene
from chaos_blows import stands_still
from chaos_lane import Case
from chaos_lane import Verdict
from chaos_oracle import Told
from chaos_oracle import problems
from chaos_oracle import read_log
from chaos_plans import BASE
from chaos_plans import Plan
from chaos_plans import history_rows
from chaos_plans import random_plan
from chaos_wire import Wire
from run_support import NO_BACKUP
from run_support import at_start
from run_support import cards

from audit import verify
from sandbox.slack_answer import until
from sandbox.stage import Stage

ENDED_SECONDS = 90.0
OF_A_TERMINAL = ("Ctrl-C", "disk full", "no more files")
"""Blows that are for the terminal's lanes alone."""

POINTS = (
    ("approved", 1),
    ("started", 1),
    ("step_started", 4),
    ("step_finished", 3),
    ("statement_sent", 5),
    ("commit_sent", 3),
    ("statement_finished", 5),
    ("migration_applied", 3),
    ("succeeded", 1),
)
"""Kinds of events at which the bot is struck, each up to so many times in a run."""

_ON_CARD = {
    "succeeded": "done",
    "failed": "nothing of it remains",
    "partially_applied": " applied",
    "interrupted": "interrupted, a person must decide",
    "superseded": "no longer holds",
}


class BotLane:
    """`with BotLane(seed) as lane:`, then `lane.run(number, rng)`; each case is the next request on the same target."""

    def __init__(self) -> None:
        self._ends = ExitStack()
        self._number = 0
        self._year = 2000

    def __enter__(self) -> "BotLane":
        try:
            self._begin()
        except BaseException:
            self._ends.close()
            raise
        return self

    def _begin(self) -> None:
        self.stage = self._ends.enter_context(Stage(prod=NO_BACKUP, empty=True, rate_limits=False))
        self.wire = self._ends.enter_context(Wire(self.stage.postgres.port))
        self._ends.callback(self.wire.mend)
        url = self.stage.environment["SHOP_PROD_DATABASE_URL"]
        self.stage.environment["SHOP_PROD_DATABASE_URL"] = url.replace(
            f":{self.stage.postgres.port}/", f":{self.wire.port}/"
        )
        self._sql(BASE)
        self.orders = self.stage.folder / "orders"
        at_start(self.stage, "import pathlib, chaos", f"chaos.obey(pathlib.Path({str(self.orders)!r}))")
        self.stage.start_bot()

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def random_case(self, rng: random.Random) -> Case:
        names = [name for name in BLOWS if name not in OF_A_TERMINAL]
        kind, most = rng.choice(POINTS)
        point = f"{rng.choice(('before', 'after'))} {kind} {rng.randint(1, most)}"
        later = 0.0 if rng.random() < 0.5 else rng.choice((0.01, 0.1)) * rng.random()
        return Case(f"bot{self._number + 1}", rng.choice(["killed", *names]), point, round(later, 4))

    def run(self, case: Case, rng: random.Random) -> Verdict:
        """Ask, approve, strike, start the bot again where it died, wait for the end, and judge."""
        began = time.monotonic()
        plan = self._next_plan(case, rng)
        request = f"R-{self._number}"
        self.stage.slack.say("U0ANA", "/migrate push prod")
        self._until(lambda: f"{request} · shop/prod" in (text := cards(self.stage)) and "Approve for prod" in text)
        itself, _ = BLOWS[case.blow]
        self.orders.write_text(f"{case.point} {itself} {case.later_seconds}")
        self.stage.slack.click("U0BEN", "Approve", about=request)
        struck = self._strike(case, rng, request)
        self.orders.write_text("")
        self._come_back(struck and case.blow == "SIGTERM")
        told = self._ended(request)
        wrong = self._judge(plan, request, told)
        if told.status == "interrupted":
            self.stage.slack.say("U0BEN", f"/migrate cancel {request} I looked at all of it")
            self._until(lambda: "recorded" in read_log(self.stage.log_path, request).kinds)
        self._drop_what_is_left(plan)
        return Verdict(
            case, told.status, told.why, struck, told.attempts, round(time.monotonic() - began, 2), tuple(wrong)
        )

    def _next_plan(self, case: Case, rng: random.Random) -> Plan:
        self._number += 1
        self._year += 1
        key = f"x{self._number}_"
        plan = random_plan(case.plan, rng, prefix=key, year=self._year)
        self._sql(plan.before)
        self.stage.commit({f"supabase/migrations/{file.filename}": file.text for file in plan.files}, case.plan)
        return plan

    def _strike(self, case: Case, rng: random.Random, request: str) -> bool:
        """Whether it came to that: the bot died of it, or stood still and was struck."""
        _, strike = BLOWS[case.blow]
        bot = self.stage.bot
        assert bot is not None

        def is_past() -> bool:
            return bot.poll() is not None or read_log(self.stage.log_path, request).endings > 0

        if strike is None:
            self._until(is_past, ENDED_SECONDS)
            time.sleep(case.later_seconds + 0.1)
            return bot.poll() is not None
        if not stands_still(bot.pid, is_past) and not stands_still(bot.pid, _after(case.later_seconds + 0.2)):
            return False
        database = self.stage.databases["prod"]
        strike(Scene(self.stage.postgres, self.wire, database, self.stage.folder, rng), bot.pid)
        return True

    def _come_back(self, is_told_to_end: bool) -> None:
        """Start it where it died, or is about to; what only froze goes on."""
        bot = self.stage.bot
        assert bot is not None
        if bot.poll() is None:
            os.kill(bot.pid, signal.SIGCONT)
        if is_told_to_end:
            bot.wait(60)
        if until(lambda: bot.poll() is not None, 0.2):
            self.stage.start_bot()

    def _ended(self, request: str) -> Told:
        self._until(lambda: read_log(self.stage.log_path, request).endings > 0, ENDED_SECONDS)
        return read_log(self.stage.log_path, request)

    def _judge(self, plan: Plan, request: str, told: Told) -> list[str]:
        with closing(self._connect()) as connection:
            wrong = problems(connection, plan, told)
        wrong += [f"audit verify: {one}" for one in verify(self.stage.log_path).problems]
        words = f"{request} · shop/prod: "
        on_card = _ON_CARD.get(told.status, "?")

        def is_told() -> bool:
            return any(line.find(words) >= 0 and on_card in line for line in cards(self.stage).splitlines())

        if not until(is_told, 20):
            lines = [line for line in cards(self.stage).splitlines() if words in line]
            wrong.append(f"the log says {told.status}, the card {lines}")
        return wrong

    def _drop_what_is_left(self, plan: Plan) -> None:
        """The next request is about other files: what this one did not bring onto the target leaves the repository."""
        with closing(self._connect()) as connection:
            there = {row[0] for row in history_rows(connection)}
        for file in plan.files:
            if file.version not in there:
                (self.stage.repository / "supabase" / "migrations" / file.filename).unlink()

    def _sql(self, text: str) -> None:
        if text:
            with closing(self._connect()) as connection:
                connection.execute(text.encode())

    def _connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self.stage.postgres.url(self.stage.databases["prod"]), autocommit=True)

    def _until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        if not until(condition, seconds):
            said = self.stage.bot_log.read_text()[-1500:]
            raise TimeoutError(f"it never came to that; the bot said:\n{said}\n{cards(self.stage)[-800:]}")


def _after(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() > deadline
