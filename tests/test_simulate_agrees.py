"""`simulate`, the click and the run's start, in hundreds of worlds made at random: each must say what the others say, and
what an oracle says that tries every way in which people could fill the places.

A case is made from its number alone; one that fails names it: `random.Random(seed)` makes it again.
"""

from collections import Counter
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from random import Random

import approvals_oracle as oracle
import pytest
from approvals_broken import AT_ONCE
from approvals_cases import ANA
from approvals_cases import EMAILS
from approvals_cases import NO_FACTOR
from approvals_cases import OPS
from approvals_cases import PEOPLE
from approvals_cases import Case
from approvals_cases import a_case
from approvals_world import START
from approvals_world import File
from approvals_world import Head
from approvals_world import Place
from approvals_world import World
from approvals_world import a_world
from approvals_world import beside
from approvals_world import break_it
from approvals_world import sha256_of
from approvals_world import slack

from ops.approving import approve
from ops.confirming import Proofs
from ops.errors import OpsError
from ops.errors import Reason
from ops.freezing import freeze
from ops.gates import in_the_way
from ops.layer import Ops
from ops.locking import lock
from ops.people import Actor
from ops.placing import place
from ops.requesting import plan_target
from ops.requesting import requested
from ops.requests import Request
from ops.requests import find_request
from ops.running import carry_out
from ops.running import is_cleared
from ops.settings import Settings
from ops.simulating import Explained
from ops.simulating import simulate
from ops.status import Status
from ops.targets import Target
from ops.targets import find_target

CASES = 520
SEED = 20261123


@dataclass
class Played:
    """A case that was asked for: the world it is in, the request, and what the oracle has to know of it."""

    case: Case
    world: World
    ops: Ops
    target: Target
    request: Request
    wanted: oracle.Wanted
    pinned: Mapping[str, str]
    barred: frozenset[str]
    expires_at: datetime
    yes: list[str] = field(default_factory=list)

    @property
    def who(self) -> oracle.Who:
        at_terminal = {OPS: "U0BEN"} if self.case.ops_is_ben else {}
        return oracle.Who(self.world.town.problems, self.world.town.groups, at_terminal)

    def waits(self, at: datetime) -> bool:
        return at < self.expires_at

    def of_those(self, yes: Collection[str]) -> list[str]:
        return [one for one in yes if oracle.counts(one, self.wanted, self.who, self.pinned, self.barred)]

    def takes(self, name: str, yes: list[str], at: datetime) -> bool:
        """Whether one more yes is taken: it counts, is this person's first, and brings the plan nearer to its run."""
        if name == NO_FACTOR and self.wanted.needs_code:
            return False
        if not self.waits(at) or not self.of_those([name]) or self.who.person(name) in map(self.who.person, yes):
            return False
        more, who = [*yes, name], self.who
        sits = oracle.filled(self.wanted, more, who) > oracle.filled(self.wanted, yes, who)
        return sits or oracle.uncovered(self.wanted, more, who) != oracle.uncovered(self.wanted, yes, who)

    def starts(self, yes: list[str], at: datetime) -> bool:
        """Whether the run begins then."""
        case, table = self.case, self.case.table
        by_clock = oracle.is_in_window(table, at) and not oracle.is_in_freeze(table, at)
        if case.hotfix:
            by_clock = ANA not in self.who.problems and self.who.is_named(ANA, table["hotfix"])
        is_free = not case.locked and not case.frozen
        return self.waits(at) and is_free and by_clock and oracle.is_enough(self.wanted, self.of_those(yes), self.who)


def play(world: World, number: int, case: Case) -> Played | Reason:
    """Ask for the case's plan; the reason where that is refused."""
    name = f"p{number}"
    people = {**EMAILS, **({"ops": "U0BEN"} if case.ops_is_ben else {})}
    project = {"repository": "/none", "environments": {"prod": dict(case.table)}}
    settings = Settings.model_validate(
        {"projects": {name: project}, "people": people, "second_factor": {"key": "$KEY"}}
    )
    world.town.problems, world.town.groups = {}, dict(case.groups)
    ops, target = world.ops(settings), find_target(settings, f"{name}/prod")
    spot = world.places[target.name] = Place(Head("", ()))
    spot.move(Head(f"{number:040x}", (File("1", sha256_of(name), case.hazards),), case.emails))
    try:
        why = "orders fail" if case.hotfix else ""
        plan = plan_target(ops, target, slack(ANA), world.act(), hotfix=why)
        draft = requested(ops, plan, slack(ANA))
        draft = replace(draft, data={**draft.data, "behind": list(case.behind)})
        placed = place(ops, target, draft, slack(ANA), world.act(), plan=plan)
    except OpsError as error:
        return error.reason
    assert placed is not None
    world.show(ops, placed.request)
    wanted = _wanted(case)
    groups = {one: id for one, (id, _) in case.groups.items() if one in wanted.everybody}
    barred = frozenset({ANA, *case.behind, *(EMAILS[one] for one in case.emails if one in EMAILS)})
    expires_at = world.now + timedelta(hours=24)
    return Played(case, world, ops, target, placed.request, wanted, groups, barred, expires_at)


def _wanted(case: Case) -> oracle.Wanted:
    return oracle.wanted_of(case.table, case.hazards, [one for one in case.emails if one not in EMAILS])


def happens(played: Played) -> None:
    """What the case says that happens after it was asked for, all but the time that passes."""
    case, world = played.case, played.world
    ops, target = played.ops, played.target
    groups = dict(world.town.groups)
    for who, how in case.leaves.items():
        if how.startswith("@"):
            id, members = groups[how]
            groups[how] = (id, members - {who})
        else:
            world.town.problems[who] = f"you are {how}"
    if case.renamed:
        groups[case.renamed] = ("S0OTHER", groups[case.renamed][1])
    if case.locked:
        lock(ops, target, slack(ANA), world.act(), timedelta(days=3), "an import")
    if case.frozen:
        _freeze(played)
    world.town.groups = groups


def _freeze(played: Played) -> None:
    """Somebody who may: the groups are as the case had them at first."""
    who = played.wanted.everybody
    names = [one for one in (*PEOPLE, OPS) if played.who.is_named(one, who) and one not in played.world.town.problems]
    actor = _actor(names[0]) if names else Actor("os:desk/root")
    try:
        freeze(
            played.ops,
            played.target if played.case.frozen == "target" else None,
            actor,
            played.world.act(),
            played.world.now + timedelta(days=2),
            "an incident",
        )
    except OpsError:
        played.case = replace(played.case, frozen="")


def _actor(name: str) -> Actor:
    return Actor(name) if name.startswith("os:") else slack(name)


def click(played: Played, name: str) -> Reason | None:
    """A yes with all that it takes: the reason why it did not count."""
    code = played.world.code(name) if played.wanted.needs_code and not name.startswith("os:") else None
    proofs = Proofs(environment="prod", code=code)
    try:
        approve(
            played.ops, played.request.id, _actor(name), played.world.act(), played.request.digest[:16], proofs=proofs
        )
    except OpsError as error:
        return error.reason
    return None


def run(played: Played) -> Reason | None:
    """The run's start: the reason why it did not."""
    try:
        ended = carry_out(played.ops, played.request.id)
    except OpsError as error:
        return error.reason
    assert ended.status is Status.SUCCEEDED
    return None


def compare(played: Played) -> tuple[str, ...]:
    """Simulate, then do it; every difference, in words."""
    case, world, ops, number = played.case, played.world, played.ops, played.request.id
    happens(played)
    at = world.now + case.after
    before = world.view.last_place("people"), world.view.last_place(played.request.stream)
    supposed: Explained = simulate(ops, number, case.yes, at)
    wrong = []
    if before != (world.view.last_place("people"), world.view.last_place(played.request.stream)):
        wrong.append("the simulation wrote something")

    world.now = at
    for one in supposed.supposed:
        name = one.actor.user or one.actor.id
        takes, said, found = played.takes(name, played.yes, at), one.decision, click(played, name)
        if not (said.allowed == (found is None) == takes) or said.reason is not found:
            wrong.append(
                f"the yes of {name}: simulated {said.reason}, clicked {found}, it counts by the oracle: {takes}"
            )
        played.yes += [name] if takes else []
    expected, would = played.starts(played.yes, at), supposed.verdict.may_start
    asks = bool(played.wanted.places)
    would_be_taken = _is_taken_up(played) if asks and played.waits(at) else expected
    found = run(played)
    if not (expected == would == would_be_taken == (found is None)):
        closed = [gate.name for gate in supposed.verdict.closed]
        wrong.append(f"the run: simulated {would} {closed}, watched {would_be_taken}, ran {found}, oracle {expected}")
    if found is not None and found not in {gate.reason for gate in supposed.verdict.closed}:
        wrong.append(f"the run was refused with {found}, which no gate of the simulation had")
    return tuple(wrong)


def _is_taken_up(played: Played) -> bool:
    """Whether the bot, which looks at what waits, would have it run."""
    request = find_request(played.ops.view, played.request.id)
    return is_cleared(played.ops, request) and not in_the_way(played.ops, request)


def refusal(case: Case) -> Reason | None:
    """Why the oracle would not even have it asked for."""
    who = oracle.Who({}, case.groups, {OPS: "U0BEN"} if case.ops_is_ben else {})
    if case.hotfix and not who.is_named(ANA, case.table["hotfix"]):
        return Reason.NOT_ALLOWED
    wanted = _wanted(case)
    if wanted.says_nothing:
        return Reason.POLICY_EMPTY
    if case.table["unknown_authors"] == "refuse" and any(one not in EMAILS for one in case.emails):
        return Reason.UNKNOWN_AUTHOR
    barred = frozenset({ANA, *case.behind, *(EMAILS[one] for one in case.emails if one in EMAILS)})
    could = [one for one in (*PEOPLE, OPS) if oracle.counts(one, wanted, who, who.ids(wanted.everybody), barred)]
    ways = (could, could[::-1])  # somebody who sits at a terminal, too, says yes once, here or there
    return None if any(oracle.is_enough(wanted, way, who) for way in ways) else Reason.POLICY_UNSATISFIABLE


@dataclass
class Tally:
    """What became of the cases, so that it is seen that all of it was tried."""

    wrong: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def tally(folder: Path, cases: int, *, most: int = 10) -> Tally:
    """Play cases until so many were asked for, or so many went wrong."""
    found = Tally()
    with a_world(folder) as world:
        world.now = START
        for user in {ANA, *PEOPLE} - {NO_FACTOR}:
            world.enrol(world.ops(_anybody()), user)
        number = 0
        while found.seen["asked"] < cases and len(found.wrong) < most:
            number += 1
            world.now = START + timedelta(weeks=number)
            _one(world, number, found)
    return found


def _one(world: World, number: int, found: Tally) -> None:
    seed = SEED + number
    case = a_case(Random(seed))  # noqa: S311 (chance, no secret)
    played = play(world, number, case)
    expected = refusal(case)
    if isinstance(played, Reason) or expected is not None:
        found.seen["refused"] += 1
        if played is not expected:
            said = played if isinstance(played, Reason) else "placed"
            found.wrong.append(f"seed {seed}: asked for: {said}, oracle {expected}: {case}")
        return
    found.seen["asked"] += 1
    found.wrong += [f"seed {seed}: {one}: {case}" for one in compare(played)]
    found.seen["yes"] += len(played.yes)
    request = find_request(played.ops.view, played.request.id)
    found.seen["ran"] += request.status is Status.SUCCEEDED
    world.forget(played.ops, request)


def _anybody() -> Settings:
    environments = {"prod": {"database_url": "$URL", "branch": "main", "approvals": 0}}
    return Settings.model_validate({"projects": {"any": {"repository": "/none", "environments": environments}}})


def test_simulate_the_click_and_the_run_agree_with_each_other_and_with_an_oracle(tmp_path: Path) -> None:
    found = beside(lambda: tally(tmp_path, CASES))
    print(f"seeds from {SEED + 1}: {dict(found.seen)}")
    assert found.wrong == []
    assert found.seen["ran"] > CASES / 10
    assert found.seen["asked"] - found.seen["ran"] > CASES / 10
    assert found.seen["refused"] > CASES / 50


@pytest.mark.parametrize("name", AT_ONCE)
def test_a_broken_rule_is_seen(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch, AT_ONCE[name])
    found = beside(lambda: tally(tmp_path, CASES, most=1))
    print(f"seen in {found.seen['asked']} cases: {found.wrong}")
    assert found.wrong
