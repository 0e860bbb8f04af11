"""One lane of chaos at the terminal: a stage with a server of its own, where case after case is run, struck and judged."""

import json
import random
import time
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from chaos_blows import BLOWS
from chaos_blows import WEIGHTS
from chaos_blows import Scene
from chaos_blows import small_disk
from chaos_blows import stands_still
from chaos_oracle import Told
from chaos_oracle import problems
from chaos_oracle import read_log
from chaos_plans import BASE
from chaos_plans import Plan
from chaos_plans import dice
from chaos_plans import mixed_plan
from chaos_plans import random_plan
from chaos_terminal import Terminal
from chaos_wire import Wire

from audit import Log
from audit import Reader
from audit import verify
from sandbox.postgres import ADMIN
from sandbox.stage import Stage
from sandbox.stage import git

TAKE_UP_TRIES = 6
REQUEST = "R-1"


@dataclass(frozen=True)
class Case:
    """One blow at one point of one plan's run; `later_seconds`: so long behind the point, inside whatever goes on then."""

    plan: str
    blow: str
    point: str
    later_seconds: float = 0.0

    def __str__(self) -> str:
        later = f" + {self.later_seconds * 1000:.0f} ms" if self.later_seconds else ""
        return f"{self.plan}: {self.blow}, {self.point}{later}"


@dataclass(frozen=True)
class Verdict:
    """How a case ended: the status in the log and its reason there, whether the blow came at all, and what is wrong
    (empty: nothing)."""

    case: Case
    status: str
    why: str
    struck: bool
    attempts: int
    seconds: float
    wrong: tuple[str, ...]


class Lane:
    """`with Lane(seed) as lane:`, then `lane.run(case)` as often as one likes. Every case begins from nothing."""

    def __init__(self, seed: str, plans: int = 4) -> None:
        rng = dice(f"{seed} plans")
        self.plans = {
            plan.name: plan for plan in (mixed_plan(), *(random_plan(f"random{n + 1}", rng) for n in range(plans)))
        }
        self._ends = ExitStack()
        self.has_small_disk = False

    def __enter__(self) -> "Lane":
        try:
            self._begin()
        except BaseException:
            self._ends.close()
            raise
        return self

    def _begin(self) -> None:
        self.stage = self._ends.enter_context(Stage(empty=True, rate_limits=False))
        self.wire = self._ends.enter_context(Wire(self.stage.postgres.port))
        self.has_small_disk = self._ends.enter_context(small_disk(self.stage.log_path.parent))
        self._prepare()
        self.terminal = Terminal(self.stage)
        self._ends.callback(self.terminal.close)
        self._points = {name: self._points_of(name) for name in self.plans}

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def every_point(self, plan: str) -> list[str]:
        """Both sides of every event of the plan's run."""
        return [f"{when} {point}" for point in self._points[plan] for when in ("before", "after")]

    def random_case(self, blow: str, rng: random.Random) -> Case:
        """This blow at a random point of a random plan, half of them at a moment behind it."""
        plan = rng.choice(list(self.plans))
        points = [one for one in self.every_point(plan) if not one.endswith(("requested 1", "commanded 1"))]
        if "disk" in blow or "files" in blow:
            points = [one for one in points if one.startswith("after")]
        later = 0.0 if rng.random() < 0.5 else rng.choice((0.004, 0.02, 0.1)) * rng.random()
        return Case(plan, blow, rng.choice(points), round(later, 4))

    def run(self, case: Case, rng: random.Random) -> Verdict:
        """Begin from nothing, push, strike, let it recover, and judge."""
        began = time.monotonic()
        plan = self.plans[case.plan]
        self._reset(plan)
        scene = Scene(self.stage.postgres, self.wire, plan.name, self.stage.log_path.parent, rng)
        struck, said = self._struck(case, scene)
        self._make_good(scene)
        wrong = self._recover() if struck or said["signal"] else []
        told = read_log(self.stage.log_path, REQUEST)
        wrong += self._judge(plan, told)
        if not wrong:
            wrong += self._go_on(plan, told)
        wrong += [] if not wrong else [f"the terminal said {said}"]
        return Verdict(
            case, told.status, told.why, struck, told.attempts, round(time.monotonic() - began, 2), tuple(wrong)
        )

    def _struck(self, case: Case, scene: Scene) -> tuple[bool, dict[str, Any]]:
        itself, strike = BLOWS[case.blow]
        pid = self.terminal.begin("push", case.plan, "--json", blow=f"{case.point} {itself} {case.later_seconds}")
        struck = False
        if strike is not None and stands_still(pid, lambda: False):
            struck = True
            strike(scene, pid)
        said = self.terminal.end()
        if strike is None:
            struck = said["signal"] == 9 if itself == "kill" else said["code"] != 0
        return struck, said

    def _make_good(self, scene: Scene) -> None:
        """The world is whole again: the wire, the disk, the server."""
        scene.wire.mend()
        (scene.disk / "ballast").unlink(missing_ok=True)

    def _recover(self) -> list[str]:
        """Whoever types the next word takes up what a dead runner left."""
        for _ in range(TAKE_UP_TRIES):
            self._type("show", REQUEST, "--json")
            if read_log(self.stage.log_path, REQUEST).status != "running":
                return []
            time.sleep(0.3)
        return ["it is still running"]

    def _judge(self, plan: Plan, told: Told) -> list[str]:
        with closing(self.connect(plan)) as connection:
            wrong = problems(connection, plan, told)
            wrong += _left_behind(connection)
        wrong += [f"audit verify: {one}" for one in verify(self.stage.log_path).problems]
        if told.status != "unasked":
            shown = self._type("show", REQUEST, "--json")
            if shown.get("status") != told.status:
                wrong.append(f"show says {shown.get('status')}, the log {told.status}")
        return wrong

    def _go_on(self, plan: Plan, told: Told) -> list[str]:
        """After the end: what is in doubt keeps the target until a person spoke, and what is left can be pushed."""
        wrong = []
        if told.status == "interrupted":
            refused = self._type("push", plan.name, "--json")
            if refused.get("reason") not in {"target_blocked", "plan_blocked"}:
                wrong.append(f"the target of an interrupted run is not blocked: {refused}")
            settled = self._type("cancel", REQUEST, "I looked at all of it", "--json")
            if not settled.get("ok"):
                wrong.append(f"it cannot be settled: {settled}")
        begun = {version for (version, _), said in told.statements.items() if said != "rolled_back"}
        half = begun - {file.version for file in plan.files if file.in_batches and told.status != "interrupted"}
        is_half = bool(half - set(told.applied))
        if is_half and (told.status == "interrupted" or "failed" in told.statements.values()):
            return wrong  # somebody has to find out, or to clean up, before it can go on
        again = self._type(*(("resume", REQUEST) if is_half else ("push", plan.name)), "--json")
        if again.get("status") not in {"succeeded", "nothing_to_do"}:
            wrong.append(f"what is left could not be {'resumed' if is_half else 'pushed'}: {again}")
        whole = Told(status="succeeded", endings=1, target_endings=1, applied=[file.version for file in plan.files])
        with closing(self.connect(plan)) as connection:
            wrong += problems(connection, plan, whole)
        return wrong

    def _type(self, *words: str) -> dict[str, Any]:
        self.terminal.begin(*words)
        said = self.terminal.end()["out"]
        found: dict[str, Any] = json.loads(said) if said.startswith("{") else {"said": said}
        return found

    def _points_of(self, name: str) -> list[str]:
        """The events of a run that nothing happens to, as `kind number`, in their order; an act for two streams once."""
        self._reset(self.plans[name])
        said = self._type("push", name, "--json")
        assert said.get("status") == "succeeded", said
        wrong = self._judge(self.plans[name], read_log(self.stage.log_path, REQUEST))
        assert wrong == [], wrong
        return list(_points(self.stage.log_path))

    def _prepare(self) -> None:
        """A branch, a database and an environment for each plan, on one server behind the wire."""
        stage = self.stage
        environments = []
        for name, plan in self.plans.items():
            git(stage.repository, "checkout", "--quiet", "--orphan", name)
            for path in (stage.repository / "supabase").glob("migrations/*"):
                path.unlink()
            for file in plan.files:
                path = stage.repository / "supabase" / "migrations" / file.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.text)
            git(stage.repository, "add", "--all")
            who = ("-c", "user.name=Mia", "-c", "user.email=mia@acme.example")
            git(stage.repository, *who, "commit", "--quiet", "-m", f"Plan {name}")
            url = stage.postgres.create_database(f"{name}_base")
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                connection.execute((BASE + plan.before).encode())
            variable = f"CHAOS_{name.upper()}_URL"
            direct = stage.postgres.url(name)
            stage.environment[variable] = direct.replace(f":{stage.postgres.port}/", f":{self.wire.port}/")
            backup = "intact" if name == "random1" else "none"
            environments.append(
                f'[projects.shop.environments.{name}]\ndatabase_url = "${variable}"\nbranch = "{name}"\n'
                f'approvals = 0\nbackup = "{backup}"\n'
            )
        stage.config.write_text(
            stage.config.read_text() + "\n".join(["", *environments, '[backup]\npath = "backups"\n'])
        )

    def _reset(self, plan: Plan) -> None:
        """The plan's database as it was before anything, and an empty log."""
        with closing(psycopg.connect(self.stage.postgres.url("template1", ADMIN), autocommit=True)) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{plan.name}" WITH (FORCE)'.encode())
            connection.execute(f'CREATE DATABASE "{plan.name}" OWNER postgres TEMPLATE "{plan.name}_base"'.encode())
        for path in self.stage.log_path.parent.glob("audit.db*"):
            path.unlink()
        Log.create(self.stage.log_path)

    def connect(self, plan: Plan) -> "psycopg.Connection[tuple[Any, ...]]":
        """A session on the plan's database, past the wire."""
        return psycopg.connect(self.stage.postgres.url(plan.name), autocommit=True)


def _points(log: Path) -> Iterator[str]:
    counts: dict[str, int] = {}
    acts = set()
    for event in Reader(log).since(0, 100_000):
        act = (event.id.partition("/")[0], event.kind)
        if act in acts:
            continue
        acts.add(act)
        counts[event.kind] = counts.get(event.kind, 0) + 1
        yield f"{event.kind} {counts[event.kind]}"


def _left_behind(connection: "psycopg.Connection[tuple[Any, ...]]") -> list[str]:
    """Sessions of ours that are still there a while after the end, or locks."""
    deadline = time.monotonic() + 5
    query = (
        "select application_name from pg_stat_activity where datname = current_database() and "
        "application_name like 'countersign%'"
    )
    while left := connection.execute(query.encode()).fetchall():
        if time.monotonic() > deadline:
            return [f"a session is left: {one[0]}" for one in left]
        time.sleep(0.05)
    return []


def schedule(lane: Lane, number: int, of: int, rng: random.Random) -> Iterator[Case]:
    """First a kill at every boundary of the mixed plan (this lane's share of them), then random blows without end."""
    for point in lane.every_point("mixed")[number::of]:
        yield Case("mixed", "killed", point)
    while True:
        yield from random_round(lane, rng)


def random_round(lane: Lane, rng: random.Random) -> Sequence[Case]:
    """Every blow at least once, in a random order."""
    names = [name for name in BLOWS for _ in range(WEIGHTS.get(name, 1))]
    if not lane.has_small_disk:
        names.remove("disk full")
    rng.shuffle(names)
    return [lane.random_case(name, rng) for name in names]
