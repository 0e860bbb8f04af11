"""Giving people a second factor: the first at the terminal; another one only after another person has agreed to it."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

from audit import AuditError
from audit import Draft
from audit import Event
from audit import View
from ops.behind import logins_behind_act
from ops.errors import OpsError
from ops.errors import Reason
from ops.factor_store import check_key
from ops.factor_store import forget_secret
from ops.factor_store import keep_secret
from ops.layer import Ops
from ops.one_time_code import enrolment_url
from ops.one_time_code import new_secret
from ops.people import Actor
from ops.people import names_of
from ops.policy import Decision
from ops.policy import is_named
from ops.policy import refused
from ops.second_factor import enrolment_of
from ops.second_factor import factor_stream
from ops.targets import all_targets

ASKED_FOR = timedelta(hours=24)
"""So long after somebody asked for a new secret another person may agree to it."""
AGREED_FOR = timedelta(hours=1)
"""So long after that it can be made."""
_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
_ADD_LOGIN = "Add that login under [people] in the configuration first, with whose it is; then ask again."


@dataclass(frozen=True)
class Enrolment:
    """A person's new second factor. `url` is a secret: whoever reads it can make their codes."""

    user: str
    url: str
    is_first: bool


@dataclass(frozen=True)
class Agreed:
    """That another person agreed: who asked may make a new second factor until then, and nobody else."""

    asked_by: str
    until: datetime


def person_meant(text: str) -> str:
    """The Slack id of who is meant by `U0BEN` or by a mention. Raises OpsError(BAD_USAGE) for anything else."""
    user = text.strip().removeprefix("@").upper()
    if not _USER.fullmatch(user):
        raise OpsError(
            Reason.BAD_USAGE,
            f"{text[:40]!r} is no Slack id of a person.",
            "It is in their Slack profile, under Copy member ID: enrol U0BEN.",
        )
    return user


def enrol(ops: Ops, user: str, actor: Actor, act: str) -> Enrolment:
    """Make a second factor for a person; to be shown at this terminal once, and nowhere else.

    Raises OpsError: NOT_ALLOWED for a login that is no enroller, in a CI job, and where they have one and nobody else has
    agreed to another (that this actor wants one is then in the log); IDENTITY_UNPROVEN, NOT_A_MEMBER, FACTOR_UNAVAILABLE
    without a key.
    """
    if not actor.is_terminal:
        raise OpsError(
            Reason.NOT_AT_THIS_FRONT,
            "A secret is never shown in Slack.",
            f"Whoever runs Countersign types `countersign enrol {user}` at the terminal, with the person beside them.",
        )
    is_enroller(actor, (ops.login.id, *_enrollers(ops)), logins_behind_act(ops.view, act)).or_raise()
    check_key(ops.settings)
    if ops.people.are_known and (problem := ops.people.person(user).problem) is not None:
        raise OpsError(
            Reason.NOT_A_MEMBER,
            f"{user} gets no second factor; Slack says to them: {problem}.",
            "Look at the id: it is in the person's Slack profile, under Copy member ID. It takes a full member.",
            exit_code=3,
        )
    _ask_where_needed(ops, user, actor, act)
    secret = new_secret()
    sha256 = keep_secret(ops.settings, user, secret)
    replaced: list[Event] = []

    def decide(view: View) -> Sequence[Draft]:
        events = view.events(stream=factor_stream(user))
        agreed = may_enrol(user, actor, events, ops.now()).or_raise().facts
        replaced.extend(event for event in [enrolment_of(events)] if event is not None)
        data = {"user": user, "sealed_sha256": sha256, "agreed_by": agreed.get("agreed_by")}
        return [_draft("enrolled", actor, user, data)]

    try:
        ops.log.transact(decide, id=f"{act}:enrolled")
    except (OpsError, AuditError):
        forget_secret(ops.settings, user, sha256)
        raise
    for event in replaced:
        with suppress(OSError):  # it is not believed any more, whether or not it lies there
            forget_secret(ops.settings, user, str((event.data or {}).get("sealed_sha256", "")))
    return Enrolment(user, enrolment_url(secret, user), not replaced)


def agree(ops: Ops, user: str, actor: Actor, act: str) -> Agreed:
    """Another person's yes to a new second factor that was asked for at the terminal.

    Raises OpsError when nobody asked for it, or this actor is not somebody else who may approve here.
    """
    if ops.view.act(f"{act}:agreed"):
        return _agreed(ops.view.act(f"{act}:agreed")[0])
    entries = _deciders(ops)
    directory = ops.directory(entries, users=(actor.user,), members=False)
    problem = directory.problem_of(actor.user) if actor.user else "nobody proved who you are"
    if problem is not None or not is_named(entries, actor, directory.groups):
        may = names_of(entries) or "nobody, since nobody approves here"
        refused(
            Reason.NOT_ALLOWED,
            f"You may not agree to a new second factor{f': {problem}' if problem else ''}.",
            f"These may, except {names_of([user])} and who asked for it: {may}.",
        ).or_raise()

    def decide(view: View) -> Sequence[Draft]:
        asked = _asked(view.events(stream=factor_stream(user)))
        may_agree(user, actor, asked, ops.requester_is(Actor(asked.actor)) if asked else None, ops.now()).or_raise()
        data: dict[str, object] = {
            "user": user,
            "asked_by": asked.actor if asked else "",
            "until": (ops.now() + AGREED_FOR).isoformat(),
            "facts": {"groups": {handle: one.id for handle, one in directory.groups.items()}},
        }
        return [_draft("enrolment_agreed", actor, user, data)]

    return _agreed(ops.log.transact(decide, id=f"{act}:agreed")[0])


def is_enroller(actor: Actor, enrollers: Sequence[str], behind: Sequence[str]) -> Decision:
    """Whether a login may give people a second factor, whose secret it then sees. `behind`: who started the CI job in which
    it does so, if it is one; then nobody may, since nobody is there."""
    if behind:
        return refused(
            Reason.NOT_ALLOWED,
            "A CI job makes no second factor: whoever reads its output would have it.",
            "Whoever runs Countersign does that at the terminal, with the person beside them.",
        )
    if actor.id in enrollers:
        return Decision(True)
    return refused(
        Reason.NOT_ALLOWED,
        f"{actor.id} may give nobody a second factor: whoever makes one sees its secret.",
        f"These may: {', '.join(enrollers)}. The first runs Countersign; [second_factor] `enrollers` names others.",
    )


def may_enrol(user: str, actor: Actor, events: Sequence[Event], now: datetime) -> Decision:
    """Whether this actor may make a secret for this person now, by the events of their second factor; who agreed is in the
    facts. What was agreed to is that who asked makes it."""
    if enrolment_of(events) is None:
        return Decision(True)
    agreed = _since_enrolled(events, "enrolment_agreed", asked_by=actor.id)
    if agreed is not None and agreed.at <= now < _agreed_until(agreed):
        return Decision(True, facts={"agreed_by": agreed.actor})
    return refused(
        Reason.NOT_ALLOWED,
        f"{user} has a second factor already. Another one takes another person's yes, which {actor.id} asked for now.",
        f"Somebody else who may approve types `enrol {user} --agree` in Slack; then enrol within an hour.",
    )


def may_agree(user: str, actor: Actor, asked: Event | None, asker_is: str | None, now: datetime) -> Decision:
    """Whether this person, who may approve here, is another one than whom it is for and than who asked at the terminal.

    `asker_is` is that one's Slack id; None: nobody knows, and then nobody can be told apart from them.
    """
    if asked is None or not asked.at <= now < asked.at + ASKED_FOR:
        return refused(
            Reason.NOT_ALLOWED,
            f"Nobody has asked for a new second factor for {user} in the last {ASKED_FOR.total_seconds() / 3600:.0f} hours.",
            f"It begins at the terminal: `countersign enrol {user}`.",
        )
    if asker_is is None:
        return refused(
            Reason.IDENTITY_UNPROVEN,
            f"Nobody knows who {asked.actor} is, who asked for it, so it is not certain that you are somebody else.",
            _ADD_LOGIN,
        )
    if actor.user in {user, asker_is}:
        return refused(
            Reason.SELF_APPROVAL,
            "You cannot agree to it: it is yours, or you asked for it.",
            "Somebody else of those who may approve has to.",
        )
    return Decision(True)


def _ask_where_needed(ops: Ops, user: str, actor: Actor, act: str) -> None:
    """Write down that a new one is wanted, and raise what `may_enrol` says, where nobody has agreed to it yet.

    Nothing is written where nobody could ever agree, since nobody knows who this login is.
    """
    decision = may_enrol(user, actor, ops.view.events(stream=factor_stream(user)), ops.now())
    if not decision.allowed:
        if ops.requester_is(actor) is None:
            message = (
                f"{user} has a second factor already, and another person has to agree to another one. Nobody knows who "
                f"{actor.id} is, who asks for it, so nobody could be told apart from them. Nothing was asked for."
            )
            raise OpsError(Reason.IDENTITY_UNPROVEN, message, _ADD_LOGIN, exit_code=3)
        ops.log.append([_draft("enrolment_asked", actor, user, {"user": user, "to": _told(ops)})], id=f"{act}:asked")
    decision.or_raise()


def _told(ops: Ops) -> list[str]:
    """The people whom the configuration names by their ids as those who may agree; groups are not looked up for this."""
    return [entry for entry in _deciders(ops) if _USER.fullmatch(entry)]


def _asked(events: Sequence[Event]) -> Event | None:
    return _since_enrolled(events, "enrolment_asked")


def _since_enrolled(events: Sequence[Event], kind: str, **said: str) -> Event | None:
    """The newest event of a kind since the person's present second factor was made, that says this."""
    enrolled = enrolment_of(events)
    after = enrolled.place if enrolled else 0
    found = (one for one in reversed(events) if one.kind == kind and one.place > after)
    return next((one for one in found if one.data and said.items() <= one.data.items()), None)


def _agreed_until(event: Event) -> datetime:
    return datetime.fromisoformat((event.data or {})["until"])


def _agreed(event: Event) -> Agreed:
    return Agreed(str((event.data or {})["asked_by"]), _agreed_until(event))


def _enrollers(ops: Ops) -> tuple[str, ...]:
    return ops.settings.second_factor.enrollers if ops.settings.second_factor else ()


def _deciders(ops: Ops) -> tuple[str, ...]:
    """Everybody whom some environment names as an approver or an overrider."""
    named = (
        who
        for target in all_targets(ops.settings)
        for who in (
            *target.settings.approvers,
            *target.settings.overriders,
            *(one for rule in target.settings.rules for one in rule.approvers),
        )
    )
    return tuple(dict.fromkeys(named))


def _draft(kind: str, actor: Actor, user: str, data: dict[str, object]) -> Draft:
    return Draft(kind=kind, actor=actor.id, stream=factor_stream(user), data=data)
