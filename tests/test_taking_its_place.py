"""What holds for a request that takes the place of another: a no, who is barred, what was read, what was agreed to."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import approvals_world
import pytest
from approvals_world import File
from approvals_world import Head
from approvals_world import Place
from approvals_world import World
from approvals_world import a_world
from approvals_world import slack

from audit import Event
from commands.dispatch import commanded
from commands.words import Front
from ops.approving import approve
from ops.approving import reject
from ops.confirming import Proofs
from ops.errors import OpsError
from ops.errors import Reason
from ops.hazards.model import Hazard
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.layer import Ops
from ops.overriding import override
from ops.overriding import request_emergency
from ops.people import Actor
from ops.placing import pinned
from ops.plan import Plan
from ops.requesting import pick_up
from ops.requesting import request_push
from ops.requests import Request
from ops.requests import find_request
from ops.running import carry_out
from ops.settings import read_settings
from ops.status import Status
from ops.targets import Target
from ops.targets import find_target

ANA, BEN, CHI, DEE = (slack(f"U0{name}") for name in ("ANA", "BEN", "CHI", "DEE"))
NOBODY = slack("U0EVE")
CI = Actor("os:ci/runner")

CONFIG = """
[people]
"ana@acme.example" = "U0ANA"
"ana-gh" = "U0CHI"
[second_factor]
key = "$KEY"
[projects.shop]
repository = "repository"
[projects.shop.environments.prod]
database_url = "postgresql://me@localhost/none"
branch = "main"
approvals = 2
approvers = ["@owners"]
overriders = ["U0ANA"]
hotfix = ["U0ANA"]
windows = ["Mon-Thu 00:00-23:59 UTC"]
unknown_authors = "extra"
backup = "none"
rehearsal = "off"
watch = "off"
drift_check = "off"
"""


@dataclass
class Desk:
    """A world with one target, and what people do there."""

    world: World
    ops: Ops
    target: Target
    place: Place
    commits: int = 0

    def ask(self, actor: Actor = ANA, *, shown: bool = True, behind: tuple[str, ...] = ()) -> Request:
        """A request for the files that there are, at a commit of its own."""
        self.commits += 1
        self.place.move(Head(f"c{self.commits}" * 20, self.place.head.files))
        self.world.pass_time(minutes=1)
        act = self.world.act()
        if behind:
            said = commanded("push prod", actor, Front.TERMINAL, None)
            self.ops.log.append([type(said)(**{**vars(said), "data": {**said.data, "behind": list(behind)}})], id=act)
        request = request_push(self.ops, self.target, actor, act).request
        assert request is not None
        pick_up(self.ops, request)
        if shown:
            self.world.show(self.ops, request)
        return self.now(request.id)

    def yes(self, actor: Actor, request: Request, code: str | None = None) -> Request:
        approve(self.ops, request.id, actor, self.world.act(), request.digest[:16], proofs=Proofs(code=code))
        return self.now(request.id)

    def refused_yes(self, actor: Actor, request: Request, code: str | None = None) -> OpsError:
        with pytest.raises(OpsError) as refused:
            self.yes(actor, request, code)
        return refused.value

    def now(self, number: str) -> Request:
        return find_request(self.world.view, number)

    def events(self, kind: str, stream: str) -> list[Event]:
        return [one for one in self.world.view.events(stream=stream) if one.kind == kind]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from a_desk(tmp_path, CONFIG)


@pytest.fixture
def coded(tmp_path: Path) -> Iterator[Desk]:
    """The same where a yes takes a code."""
    yield from a_desk(tmp_path, CONFIG.replace("approvals = 2", "approvals = 1\nsecond_factor = true"))


def a_desk(folder: Path, config: str) -> Iterator[Desk]:
    with a_world(folder) as world:
        world.town.groups = {"@owners": ("S0OWNERS", frozenset({"U0ANA", "U0BEN", "U0CHI", "U0DEE", "U0FAY"}))}
        settings = read_settings(config.encode(), folder / "countersign.toml")
        target = find_target(settings, "prod")
        place = world.places[target.name] = Place(Head("c" * 40, (File("1", "a" * 64),)))
        ops = world.ops(settings)
        for one in (ANA, BEN, CHI):
            world.enrol(ops, str(one.user))
        yield Desk(world, ops, target, place)


def test_a_no_to_what_was_asked_for_anew_ends_what_took_its_place(desk: Desk) -> None:
    first = desk.ask()
    desk.yes(BEN, first)
    last = [desk.ask() for _ in range(2)][-1]
    assert [one.person for one in last.approvals] == ["U0BEN"]

    late = desk.refused_yes(CHI, first)
    with pytest.raises(OpsError) as eve:
        reject(desk.ops, first.id, NOBODY, desk.world.act(), first.digest[:16], "no")
    act = desk.world.act()
    said = reject(desk.ops, first.id, CHI, act, first.digest[:16], "this loses orders")
    again = reject(desk.ops, first.id, CHI, act, first.digest[:16], "this loses orders")

    assert (late.reason, "R-2 took its place" in late.message, "show R-2" in late.hint) == (
        Reason.ALREADY_DECIDED,
        True,
        True,
    )
    assert eve.value.reason is Reason.NOT_AN_APPROVER
    assert (said.request.id, said.request.status, said.said_of) == ("R-3", Status.REJECTED, "R-1")
    assert (again.request.id, again.said_of) == ("R-3", "R-1")
    [rejected] = desk.events("rejected", "request:R-3")
    assert rejected.data is not None
    assert (rejected.data["digest"], rejected.data["facts"]["said_of_digest"]) == (last.digest, first.digest)
    with pytest.raises(OpsError, match=r"R-3 took the place of R-1\. R-3 was rejected"):
        reject(desk.ops, first.id, DEE, desk.world.act(), first.digest[:16], "too late")


def test_a_no_meets_what_took_its_place_while_it_was_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = desk.ask()
    ask_slack, asked = desk.ops.directory, list[Request]()

    def while_somebody_asks(*who: object, **more: object) -> object:
        if not asked:
            asked.append(first)
            asked.append(desk.ask())
        return ask_slack(*who, **more)  # type: ignore[arg-type]

    monkeypatch.setitem(vars(desk.ops), "directory", while_somebody_asks)
    said = reject(desk.ops, first.id, CHI, desk.world.act(), first.digest[:16], "no")

    assert (said.request.id, said.said_of) == ("R-2", "R-1")
    assert desk.now("R-1").status is Status.SUPERSEDED


def test_a_run_on_carried_approvals_waits_until_the_new_plan_can_be_read(desk: Desk) -> None:
    first = desk.ask()
    desk.yes(BEN, first)
    desk.yes(CHI, first)
    second = desk.ask(shown=False)
    assert (second.missing, second.shown) == (0, None)

    with pytest.raises(OpsError) as refused:
        carry_out(desk.ops, second.id)
    desk.world.show(desk.ops, second)

    assert refused.value.reason is Reason.NOT_SHOWN_YET
    assert carry_out(desk.ops, second.id).status is Status.SUCCEEDED


def test_who_was_behind_the_first_asking_is_behind_the_next(desk: Desk) -> None:
    first = desk.ask(CI, behind=("ana-gh", "zoe-gh"))
    desk.yes(BEN, first)
    second = desk.ask(CI)

    assert (second.behind, second.unknown_authors) == (("U0CHI",), ("zoe-gh",))
    assert [one.person for one in second.approvals] == ["U0BEN"]
    assert desk.refused_yes(CHI, second).reason is Reason.SELF_APPROVAL
    assert second.needed == 3, "one more for somebody whom nobody knows"


def test_one_that_comes_in_between_bars_too(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    between: list[Request] = []

    def while_somebody_asks(ops: Ops, request: Request) -> object:
        if not between:
            between.append(request)
            between.append(desk.ask(CI, behind=("ana-gh",)))
            desk.place.move(Head("d" * 40, desk.place.head.files))
        return pinned(ops, request)

    monkeypatch.setattr("ops.placing.pinned", while_somebody_asks)
    desk.ask(CI)

    assert between[1].id == "R-1"
    assert desk.now("R-2").behind == ("U0CHI",)


def test_a_yes_is_compared_with_what_was_really_read_however_often_it_was_carried(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [100]

    def dropped(file: File) -> Iterator[Hazard]:
        about = f"It drops {rows[0]} rows."
        yield Hazard("drop", HazardClass("data_loss"), Level("danger"), file.version, 1, about, "")

    monkeypatch.setattr(approvals_world, "_hazards", dropped)
    first = desk.ask()
    desk.yes(BEN, first)
    for count in (150, 190):
        rows[0] = count
        newer = desk.ask()
        [carried] = desk.events("approval_carried", newer.stream)
        assert carried.data is not None
        assert (carried.data["from_request"], carried.data["from_digest"]) == ("R-1", first.digest)
    rows[0] = 360  # less than twice what R-3 said

    last = desk.ask()

    assert last.approvals == ()
    [voided] = last.voided
    assert (voided.from_request, "is worse now" in voided.because) == ("R-1", True)
    [event] = desk.events("approval_voided", last.stream)
    assert event.data is not None
    assert event.data["from_digest"] == first.digest


def test_a_code_is_looked_at_before_the_plan_is_computed_and_is_used_up_by_that(
    coded: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = coded.world

    def slowly(*of: object, **more: object) -> Plan:
        world.pass_time(minutes=3)
        return world.plan(*of, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("ops.kinds.push.make_plan", slowly)
    first = coded.ask()
    assert coded.yes(BEN, first, world.code("U0BEN")).missing == 0

    second = coded.ask(DEE)
    coded.place.schema = "changed by hand"
    refused = coded.refused_yes(CHI, second, world.code("U0CHI"))

    assert (refused.reason, "Your code is used up" in refused.hint) == (Reason.PLAN_CHANGED, True)
    [used] = coded.events("code_used", "factor:U0CHI")
    assert used.data is not None
    assert used.data["digest"] == second.digest


def test_an_override_takes_its_code_first_too_and_waits_until_it_can_be_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = desk.world
    asked = request_emergency(desk.ops, desk.target, ANA, world.act(), "orders cannot be paid").request
    assert asked is not None
    world.show(desk.ops, asked)
    desk.place.schema = "changed by hand"

    with pytest.raises(OpsError, match="this changed") as refused:
        override(desk.ops, asked.id, ANA, world.act(), asked.digest[:16], world.code("U0ANA"))

    assert "Your code is used up" in refused.value.hint
    assert desk.events("code_used", "factor:U0ANA")


def test_what_may_come_to_nothing_ends_nothing_that_people_agreed_to(desk: Desk) -> None:
    world = desk.world
    first = desk.ask()
    desk.yes(BEN, first)
    hotfix = request_push(desk.ops, desk.target, ANA, world.act(), hotfix="orders cannot be paid").request
    emergency = request_emergency(desk.ops, desk.target, ANA, world.act(), "orders cannot be paid").request
    newer = request_emergency(desk.ops, desk.target, ANA, world.act(), "and now no refunds").request
    assert hotfix is not None
    assert emergency is not None
    assert newer is not None

    found = {one: desk.now(one).status for one in ("R-1", hotfix.id, emergency.id, newer.id)}

    assert found == {"R-1": Status.WAITING, "R-2": Status.WAITING, "R-3": Status.SUPERSEDED, "R-4": Status.WAITING}
    assert [one.person for one in desk.now("R-1").approvals] == ["U0BEN"]
    world.show(desk.ops, newer)
    override(desk.ops, newer.id, ANA, world.act(), newer.digest[:16], world.code("U0ANA"))
    world.pass_time(hours=1)
    assert carry_out(desk.ops, newer.id).status is Status.SUCCEEDED
    assert world.now - approvals_world.START < timedelta(hours=2)
