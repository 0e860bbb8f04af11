"""All that can happen to requests on one target, step by step and at random, with a bookkeeper who looks on."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from datetime import timedelta
from random import Random

import approvals_oracle as oracle
from approvals_cases import a_table
from approvals_world import File
from approvals_world import Head
from approvals_world import sha256_of
from approvals_world import slack
from bookkeeper import ANA
from bookkeeper import APPROVERS
from bookkeeper import ASKERS
from bookkeeper import EMAILS
from bookkeeper import ZOE
from bookkeeper import Bookkeeper
from bookkeeper import Story
from log_that_dies import Killed

from audit import AuditError
from audit import Draft
from ops.approving import approve
from ops.approving import cancel
from ops.approving import note_expiry
from ops.approving import reject
from ops.confirming import Proofs
from ops.debts import review
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import freeze
from ops.freezing import unfreeze
from ops.layer import Ops
from ops.locking import lock
from ops.locking import unlock
from ops.overriding import override
from ops.overriding import request_emergency
from ops.planning_again import plan_again
from ops.policy_changes import void_outdated
from ops.requesting import note_who_counts
from ops.requesting import request_push
from ops.running import carry_out
from ops.running import take_up
from ops.settings import Settings
from ops.status import Status
from ops.targets import find_target


@dataclass
class Walk(Bookkeeper):
    """One target and what happens to it."""

    random: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.world.town.problems = {}
        self.world.town.groups = {
            "@owners": ("S0OWNERS", frozenset(self.random.sample(APPROVERS, 3))),
            "@security": ("S0SEC", frozenset(self.random.sample(APPROVERS, 2))),
        }
        self.files = 0
        self.branch((self.file(),))
        self.table = a_table(self.random, self.world.now)
        self.start()

    def start(self) -> None:
        """A process begins: what it knows is in the configuration and in the log."""
        settings = {"projects": {self.name: {"repository": "/none", "environments": {"prod": self.table}}}}
        self.settings = Settings.model_validate({**settings, "people": EMAILS, "second_factor": {"key": "$KEY"}})
        self.begin()

    def begin(self) -> None:
        self.world.log.left = -1
        self.world.dies_at_work = False
        self.ops: Ops = self.world.ops(self.settings)
        self.target = find_target(self.settings, f"{self.name}/prod")

    def file(self) -> File:
        self.files += 1
        hazards = (("access", "danger"),) if self.random.random() < 0.3 else ()
        return File(f"{self.files}", sha256_of(f"{self.name} {self.files}"), hazards)

    def branch(self, files: tuple[File, ...]) -> None:
        emails = ["ana@acme.example"]
        if self.random.random() < 0.12:
            emails.append(self.random.choice(list(EMAILS)))
        self.files += 1
        self.place.move(Head(f"{self.files:040x}", files, tuple(emails)))

    @contextmanager
    def risk(self) -> Iterator[list[str]]:
        """What is done here may be refused, or its process may die of it; the list then says so."""
        how: list[str] = []
        if self.random.random() < 0.06:
            self.world.log.dies(self.random.choice(("before", "after", "unanswered")), self.random.randint(0, 2))
        try:
            yield how
        except OpsError as error:
            how.append("died" if error.reason is Reason.LOG_UNAVAILABLE else error.reason.value)
            self.seen["died"] += how == ["died"]
        except (Killed, AuditError):
            how.append("died")
            self.seen["died"] += 1
        if self.world.log.left >= 0 or "died" in how:
            self.begin()
        self.steps[-1] += f" {how or 'done'}"

    def alive(self) -> list[Story]:
        """What may still be waiting, or run, as far as the bookkeeper knows."""
        there = [one for one in self.stories.values() if self.world.now < one.expires_at]
        return [one for one in there if not (one.is_over or one.ran or one.is_replaced)]

    def any_story(self) -> Story:
        """Mostly the newest that is not over yet."""
        alive, everything = self.alive(), list(self.stories.values())
        there = alive if alive and self.random.random() < 0.95 else everything
        return there[-1] if self.random.random() < 0.6 else self.random.choice(there)

    def ask(self, before: Story | None = None) -> None:
        by = before.by if before else self.random.choice((ANA, ANA, ANA, ZOE))
        emergency = before.emergency if before else by in self.table["overriders"] and self.random.random() < 0.6
        commit = self.random.choice(list(self.place.commits)) if self.random.random() < 0.2 else None
        with self.risk():
            if emergency:
                request_emergency(self.ops, self.target, slack(by), self.world.act(), "INC-42 orders fail")
            else:
                request_push(self.ops, self.target, slack(by), self.world.act(), commit=commit)
        self.note(emergency=emergency)

    def note(self, *, emergency: bool) -> None:
        """The bookkeeper sees what is new, and mostly its SQL is in the thread soon."""
        for story in self.learn(emergency=emergency):
            if self.random.random() < 0.97:
                self.world.show(self.ops, self.request(story))

    def ask_again(self) -> None:
        """The branch has moved on, with other files or without, and whoever asked before asks for it as it is now."""
        self.commit()
        self.ask(self.any_story())

    def approve(self) -> None:
        story, act = self.any_story(), self.world.act()
        fit = [one for one in APPROVERS if one not in story.yes and self.counting(story, [one])]
        name = self.random.choice(fit if fit and self.random.random() < 0.8 else [*APPROVERS, ANA])
        digest = (self.random.choice(list(self.stories.values())) if self.random.random() < 0.1 else story).digest
        self.steps[-1] += f" {story.number} {name}"
        with self.risk() as how:
            approve(self.ops, story.number, slack(name), act, digest[:16], proofs=Proofs())
        if not how:
            story.yes.append(name)
            self.wrong += ["a yes to another plan was taken"] * (digest != story.digest)
        if "died" in how:
            story.perhaps.append(name)
            with self.risk() as again:
                approve(self.ops, story.number, slack(name), act, digest[:16])
            story.yes += [] if again else [name]

    def reject(self) -> None:
        story = self.any_story()
        name = self.random.choice(APPROVERS)
        with self.risk() as how:
            reject(self.ops, story.number, slack(name), self.world.act(), story.digest[:16], "no")
        story.is_over |= not how

    def cancel(self) -> None:
        story = self.any_story()
        with self.risk() as how:
            cancel(self.ops, story.number, slack(self.random.choice(ASKERS)), self.world.act(), "not now")
        story.is_over |= not how

    def run(self) -> None:
        over = [one for one in self.stories.values() if one.is_over and not one.ran]
        there = over if self.random.random() < 0.1 else self.alive()
        most = max(there, key=lambda one: len(one.yes), default=None)
        story = most if most is not None and self.random.random() < 0.8 else self.any_story()
        self.steps[-1] += f" {story.number}"
        must = self.must_run(story)
        self.world.dies_at_work = self.random.random() < 0.04
        with self.risk() as how:
            carry_out(self.ops, story.number)
        self.world.dies_at_work = False
        if not how or how == ["died"]:
            self.ended(story)
        if must and "died" not in how and not story.ran:
            self.wrong.append(f"{story.number} did not run, though nothing speaks against it: {how}")

    def go_on(self) -> None:
        """The bot takes up what a dead runner left."""
        for number in sorted(self.running):
            with self.risk():
                take_up(self.ops, number)
            self.ended(self.stories[number])

    def look(self) -> None:
        """The bot looks after what waits."""
        for story in self.alive():
            request = self.request(story)
            if request.status is Status.WAITING:
                with self.risk():
                    note_expiry(self.ops, request)
                    if not plan_again(self.ops, story.number) and request.approvals:
                        note_who_counts(self.ops, self.request(story))
                self.note(emergency=story.emergency)

    def override(self) -> None:
        emergencies = [one for one in self.alive() if one.emergency and not one.overridden]
        story, act = emergencies[0] if emergencies else self.any_story(), self.world.act()
        self.world.pass_time(minutes=2)
        code = self.world.code(story.by) if self.random.random() < 0.9 else "000000"
        owes = self.owes()
        with self.risk() as how:
            override(self.ops, story.number, slack(story.by), act, story.digest[:16], code)
        if not how:
            self.wrong += [f"{story.number} was overridden, though a review is owed"] * owes
        story.overridden |= not how
        story.perhaps_overridden |= not how or "died" in how

    def review(self) -> None:
        for number in list(self.owed):
            name = self.random.choice((*APPROVERS, ANA))
            with self.risk() as how:
                review(self.ops, number, slack(name), self.world.act(), "seen")
            story = self.stories[number]
            self.owed[number] += [name] if not how or "died" in how else []
            if oracle.is_enough(self.wanted(story), self.counting(story, self.owed[number]), self.who()):
                del self.owed[number]

    def commit(self) -> None:
        files = list(self.place.head.files)
        pending = [one for one in files if one in self.place.pending()]
        match self.random.choice(
            ("nothing", "nothing", "nothing", "nothing", "more", "more", "other", "less", "forced")
        ):
            case "more":
                files.append(self.file())
            case "other" if pending:
                old = self.random.choice(pending)
                files[files.index(old)] = File(old.version, sha256_of(f"other {self.files}"), old.hazards)
            case "less" if pending:
                files.remove(self.random.choice(pending))
            case "forced":
                self.place.commits.clear()
        self.branch(tuple(files))

    def by_hand(self) -> None:
        self.files += 1
        self.place.schema = sha256_of(f"by hand {self.files}")

    def rule(self) -> None:
        self.table = a_table(self.random, self.world.now)
        self.start()
        if self.random.random() < 0.5:
            void_outdated(self.ops)

    def restart(self) -> None:
        self.begin()

    def wait(self) -> None:
        self.world.pass_time(minutes=self.random.choice((1, 20, 150, 400, 1450)))

    def lock(self) -> None:
        with self.risk() as how:
            lock(self.ops, self.target, slack(ZOE), self.world.act(), timedelta(hours=2), "an import")
        if not how:
            self.locked_until = self.world.now + timedelta(hours=2)
        if "died" in how:
            self.doubt()

    def unlock(self) -> None:
        with self.risk() as how:
            unlock(self.ops, self.target, slack(ZOE), self.world.act(), "")
        if not how:
            self.locked_until = self.world.now
        if "died" in how:
            self.doubt()

    def freeze(self) -> None:
        what = self.random.choice(("all", "target"))
        until = self.world.now + timedelta(hours=self.random.choice((1, 5)))
        with self.risk() as how:
            target = self.target if what == "target" else None
            freeze(self.ops, target, slack(self.random.choice(APPROVERS)), self.world.act(), until, "an incident")
        if not how:
            self.frozen_until[what] = until
        if "died" in how:
            self.doubt()

    def unfreeze(self) -> None:
        what = self.random.choice(("all", "target"))
        with self.risk() as how:
            target = self.target if what == "target" else None
            unfreeze(self.ops, target, slack(self.random.choice(APPROVERS)), self.world.act(), "over")
        if not how:
            self.frozen_until.pop(what, None)
        if "died" in how:
            self.doubt()

    def doubt(self) -> None:
        """Whether it holds or not was never heard: wait until it is over in any case."""
        self.world.pass_time(hours=6)
        self.locked_until, self.frozen_until = self.world.now, {}

    def leave(self) -> None:
        handle = self.random.choice(("@owners", "@security"))
        id, members = self.world.town.groups[handle]
        who = self.random.choice(APPROVERS)
        self.world.town.groups[handle] = (id, members - {who})

    def join(self) -> None:
        handle = self.random.choice(("@owners", "@owners", "@security"))
        id, members = self.world.town.groups[handle]
        self.world.town.groups[handle] = (id, members | {self.random.choice((*APPROVERS, ANA))})

    def rename(self) -> None:
        handle = self.random.choice(("@owners", "@security"))
        self.world.town.groups[handle] = (f"S0NEW{self.world.act()}", self.world.town.groups[handle][1])

    def change_account(self) -> None:
        who, problems = self.random.choice((*APPROVERS, *APPROVERS, ANA)), self.world.town.problems
        if problems.pop(who, None) is None:
            problems[who] = "you are a guest"

    def live(self) -> None:
        """One interleaving: a handful of things happen to what waits, or to what is asked for now, and a run is tried."""
        is_new = not self.alive() or self.random.random() < 0.12
        if self.stories and is_new and self.random.random() < 0.7:
            self.begin()
            left = self.alive()
            self.world.new_morning()
            for story in left:
                note_expiry(self.ops, self.request(story))
            self.world.town.problems.clear()
        if not self.place.pending():
            self.branch((*self.place.head.files, self.file()))
        if is_new:
            self.step(Walk.ask)
        for _ in range(self.random.randint(1, 3)):
            orphans = self.running and self.random.random() < 0.4
            self.step(Walk.go_on if orphans else self.random.choices(STEPS, WEIGHTS)[0])
        self.step(Walk.run)

    def step(self, step: Callable[["Walk"], None]) -> None:
        if step is Walk.ask or self.stories:
            self.steps.append(step.__name__)
            self.seen[step.__name__] += 1
            step(self)

    def close(self) -> None:
        """Leave nothing that the next walk would have to read again."""
        self.begin()
        for story in self.stories.values():
            self.world.forget(self.ops, self.request(story))
        for number in self.owed:
            data = {"digest": "", "number": 1, "needed": 1, "cleared": True, "note": "", "facts": {}}
            self.ops.log.append([self.ops.draft("reviewed", slack(ZOE), self.request(self.stories[number]), data)])
        if "all" in self.frozen_until:
            self.ops.log.append([Draft(kind="unfrozen", actor="os:host/root", stream="all", data={"because": ""})])


MIX: dict[Callable[[Walk], None], float] = {
    Walk.approve: 60,
    Walk.run: 20,
    Walk.look: 6,
    Walk.ask: 5,
    Walk.ask_again: 9,
    Walk.commit: 3,
    Walk.by_hand: 2,
    Walk.rule: 3,
    Walk.restart: 2,
    Walk.wait: 5,
    Walk.lock: 2,
    Walk.unlock: 2,
    Walk.freeze: 2,
    Walk.unfreeze: 2,
    Walk.leave: 4,
    Walk.join: 3,
    Walk.rename: 1.5,
    Walk.change_account: 3,
    Walk.reject: 3,
    Walk.cancel: 1,
    Walk.go_on: 2,
    Walk.override: 6,
    Walk.review: 2,
}
STEPS, WEIGHTS = list(MIX), list(MIX.values())
