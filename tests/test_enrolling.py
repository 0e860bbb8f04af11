"""Who gives whom a second factor, on a real log: the first, and another one after another person agreed to it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from test_second_factor import BEN
from test_second_factor import CHI
from test_second_factor import DESK
from test_second_factor import GUEST
from test_second_factor import ROOT
from test_second_factor import STRAY
from test_second_factor import ZOE
from test_second_factor import Clock
from test_second_factor import Everybody
from test_second_factor import enrolled
from test_second_factor import kinds
from test_second_factor import opened
from test_second_factor import prepare
from test_second_factor import refused
from test_second_factor import request

from commands.dispatch import answer
from commands.dispatch import commanded
from commands.reply import Reply
from commands.words import Front
from ops.enrolling import agree
from ops.enrolling import enrol
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.people import Actor
from ops.people import Person
from ops.second_factor import prove


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ops(tmp_path: Path, clock: Clock) -> Iterator[Ops]:
    prepare(tmp_path)
    with opened(tmp_path, clock) as found:
        yield found


def test_another_second_factor_takes_another_person(ops: Ops, clock: Clock) -> None:
    old = enrolled(ops)
    assert refused(lambda: agree(ops, "U0BEN", CHI, "early")) is Reason.NOT_ALLOWED  # nobody asked for one
    assert refused(lambda: enrol(ops, "U0BEN", ROOT, "asks")) is Reason.NOT_ALLOWED
    assert refused(lambda: agree(ops, "U0BEN", BEN, "self")) is Reason.SELF_APPROVAL
    assert refused(lambda: agree(ops, "U0BEN", ZOE, "asker")) is Reason.SELF_APPROVAL  # root at the terminal is Zoe
    assert refused(lambda: agree(ops, "U0BEN", Actor("slack:T0ACME/U0DEE"), "no approver")) is Reason.NOT_ALLOWED
    agree(ops, "U0BEN", CHI, "yes")

    clock.ahead = timedelta(hours=1, seconds=1)  # too late
    assert refused(lambda: enrol(ops, "U0BEN", ROOT, "asks again")) is Reason.NOT_ALLOWED
    assert agree(ops, "U0BEN", CHI, "yes again").asked_by == ROOT.id
    new = enrolled(ops, "second")

    assert refused(lambda: prove(ops, BEN, "with the old", old(), "p", request())) is Reason.CODE_WRONG
    assert prove(ops, BEN, "with the new", new(), "p", request()).user == "U0BEN"
    assert refused(lambda: enrol(ops, "U0BEN", ROOT, "once only")) is Reason.NOT_ALLOWED
    assert len(list((ops.settings.folder / "var/second-factor").iterdir())) == 1
    last = [event for event in ops.view.events(stream="factor:U0BEN") if event.kind == "enrolled"][-1]
    assert (last.data or {})["agreed_by"] == CHI.id


def test_what_was_agreed_to_is_made_by_who_asked_alone(ops: Ops) -> None:
    enrolled(ops)
    assert refused(lambda: enrol(ops, "U0BEN", ROOT, "asks")) is Reason.NOT_ALLOWED
    agree(ops, "U0BEN", CHI, "yes")
    assert refused(lambda: enrol(ops, "U0BEN", GUEST, "first")) is Reason.NOT_ALLOWED
    assert refused(lambda: enrol(ops, "U0BEN", DESK, "another enroller")) is Reason.NOT_ALLOWED  # but that asks anew
    assert kinds(ops) == ["enrolled", "enrolment_asked", "enrolment_agreed", "enrolment_asked"]
    assert not enrol(ops, "U0BEN", ROOT, "who asked").is_first


def test_another_person_agrees_by_what_they_type_in_slack(ops: Ops) -> None:
    enrolled(ops)
    refused(lambda: enrol(ops, "U0BEN", ROOT, "asks"))

    def said(text: str, actor: Actor, act: str, front: Front = Front.SLACK) -> Reply:
        ops.log.append([commanded(text, actor, front)], id=act)
        return answer(ops, text, actor=actor, front=front, act=act)

    assert said("enrol U0BEN --agree", BEN, "own").data["reason"] == "self_approval"
    assert said("enrol U0BEN --agree", ZOE, "asker").data["reason"] == "self_approval"
    assert said("enrol U0BEN --agree", ROOT, "here", Front.TERMINAL).data["reason"] == "not_at_this_front"
    agreed = said("enrol @U0BEN --agree", CHI, "yes")
    assert (agreed.ok, agreed.data["asked_by"]) == (True, ROOT.id)
    assert said("enrol U0BEN", ROOT, "makes it", Front.TERMINAL).ok
    assert kinds(ops) == ["enrolled", "enrolment_asked", "enrolment_agreed", "enrolled"]


def test_a_login_that_nobody_knows_is_told_so_before_anybody_is_asked(ops: Ops) -> None:
    """Nobody could ever agree to what it asks for: anybody might be who asked."""
    enrolled(ops)
    with pytest.raises(OpsError) as caught:
        enrol(ops, "U0BEN", STRAY, "asks")
    assert (caught.value.reason, caught.value.exit_code) == (Reason.IDENTITY_UNPROVEN, 3)
    assert "Nobody knows who os:host/stray is" in caught.value.message
    assert "under [people]" in caught.value.hint
    assert kinds(ops) == ["enrolled"]
    enrol(ops, "U0CHI", STRAY, "a first one")


def test_nobody_gives_a_second_factor_but_who_runs_it_and_enrollers(ops: Ops) -> None:
    """The door's socket is open to every login of the host, and whoever makes a second factor sees its secret."""
    with pytest.raises(OpsError) as caught:
        enrol(ops, "U0BEN", GUEST, "guest")
    assert (caught.value.reason, caught.value.exit_code) == (Reason.NOT_ALLOWED, 3)
    assert "os:host/root, os:host/desk" in caught.value.hint
    said = commanded("enrol U0BEN", ROOT, Front.TERMINAL, behind=["ana-gh"])
    ops.log.append([said], id="in a job")
    assert refused(lambda: enrol(ops, "U0BEN", ROOT, "in a job")) is Reason.NOT_ALLOWED
    assert kinds(ops) == []
    assert enrol(ops, "U0BEN", DESK, "desk").is_first


def test_somebody_whom_slack_does_not_know_is_named(ops: Ops) -> None:
    class Nobody(Everybody):
        def person(self, user: str) -> Person:
            return Person(user, user, "Slack does not know you")

    with pytest.raises(OpsError) as caught:
        enrol(replace(ops, people=Nobody()), "U0NOBODY", ROOT, "whom")
    assert caught.value.message == "U0NOBODY gets no second factor; Slack says to them: Slack does not know you."
    assert "Copy member ID" in caught.value.hint


def test_no_secret_is_made_in_slack(ops: Ops) -> None:
    assert refused(lambda: enrol(ops, "U0BEN", BEN, "here")) is Reason.NOT_AT_THIS_FRONT
    assert kinds(ops) == []
