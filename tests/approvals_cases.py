"""Environments, people and plans made at random, as somebody could have configured them and asked for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta
from random import Random
from typing import Any

from approvals_world import ANYWHERE
from pydantic import ValidationError

from ops.environment import Environment

ANA = "U0ANA"
"""Who asks, always."""
PEOPLE = ("U0BEN", "U0CHI", "U0DEE", "U0EVE", "U0FAY", "U0GUS")
NO_FACTOR = "U0EVE"
"""Who never got a second factor."""
OPS = "os:desk/ops"
EMAILS = {f"{user[2:].lower()}@acme.example": user for user in (ANA, *PEOPLE)}
HANDLES = ("@owners", "@security", "@leads")
CLASSES = ("access", "data_loss", "locks")
LEVELS = ("info", "caution", "danger")


@dataclass(frozen=True)
class Case:
    """One world and what is tried in it: who asks is Ana; `yes` say it one after the other, `after` the request was made."""

    table: Mapping[str, Any]
    groups: Mapping[str, tuple[str, frozenset[str]]]
    emails: tuple[str, ...]
    behind: tuple[str, ...]
    hazards: tuple[tuple[str, str], ...]
    yes: tuple[str, ...]
    after: timedelta
    leaves: Mapping[str, str]
    renamed: str
    locked: bool
    frozen: str
    hotfix: bool
    ops_is_ben: bool


def a_case(random: Random) -> Case:
    """A case whose table the configuration takes."""
    while True:
        table = _table(random)
        try:
            Environment.model_validate(table)
            break
        except ValidationError:
            continue
    named = random.sample((*PEOPLE, OPS), random.randint(0, 6))
    return Case(
        table=table,
        groups={
            one: (f"S0{one[1:].upper()}", frozenset(random.sample(PEOPLE, random.randint(1, 5)))) for one in HANDLES
        },
        emails=tuple(random.sample([*EMAILS, "stranger@else.example"], random.randint(1, 2))),
        behind=tuple(random.sample(PEOPLE, random.choice((0, 0, 0, 1)))),
        hazards=tuple((name, random.choice(LEVELS)) for name in CLASSES if random.random() < 0.4),
        yes=(*named, *random.sample((ANA, *named), min(1, random.randint(0, 2)))),
        after=random.choice(
            (timedelta(), timedelta(hours=3), timedelta(hours=20), timedelta(days=1), timedelta(minutes=7))
        ),
        leaves={who: random.choice(("guest", "gone", "@owners")) for who in PEOPLE if random.random() < 0.12},
        renamed=random.choice((*HANDLES, *[""] * 20)),
        locked=random.random() < 0.08,
        frozen=random.choice(("target", "all", *[""] * 20)),
        hotfix=bool(table.get("hotfix")) and random.random() < 0.6,
        ops_is_ben=random.random() < 0.5,
    )


def _table(random: Random) -> dict[str, Any]:
    """The table of an environment, as a person could write it."""
    approvals = random.choice((0, 1, 1, 2, 2, 3))
    table: dict[str, Any] = {**ANYWHERE, "database_url": "$URL", "branch": "main", "approvals": approvals}
    table["unknown_authors"] = random.choice(("show", "show", "extra", "refuse"))
    if approvals:
        table["approvers"] = _entries(random)
    if random.random() < 0.6:
        names = ("dba", "security")[: random.randint(1, 2)]
        table["rules"] = [_rule(random, name) for name in names]
    for name in CLASSES[:2]:
        if random.random() < 0.35:
            rule: dict[str, Any] = {}
            if random.random() < 0.4:
                rule["approvals"] = approvals + 1
            if random.random() < 0.6 or not rule:
                rule["approvers"] = _entries(random)
            if random.random() < 0.1:
                rule["second_factor"] = True
            table["hazards"] = {**table.get("hazards", {}), name: rule}
    if random.random() < 0.3:
        table["windows"] = random.sample(("Mon-Thu 09:00-16:00 Europe/London", "Tue-Sat 00:00-12:00 Asia/Tokyo"), 1)
    if random.random() < 0.2:
        table["freezes"] = [{"from": "2026-11-23 11:05 UTC", "to": "2026-11-23 15:00 UTC", "because": "a feast"}]
    if ("windows" in table or "freezes" in table) and random.random() < 0.5:
        table["hotfix"] = random.sample((ANA, "@leads"), 1)
    table["second_factor"] = random.random() < 0.25
    table["confirm"] = random.choice(("click", "click", "type"))
    return table


def _rule(random: Random, name: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"name": name, "approvers": _entries(random), "approvals": random.choice((1, 1, 2))}
    if random.random() < 0.4:
        rule["for"] = random.sample(CLASSES, 1)
    return rule


def _entries(random: Random) -> list[str]:
    return random.sample((*HANDLES, *HANDLES, "U0BEN", "U0CHI", OPS), random.randint(1, 2))


def a_table(random: Random, now: datetime) -> dict[str, Any]:
    """The table of an environment that Ana may override, or nobody, for approvers of whom some are in both groups."""
    pick = random.random
    table: dict[str, Any] = {**ANYWHERE, "database_url": "$URL", "branch": "main", "approvals": 1 + (pick() < 0.4)}
    table["approvers"] = ["@owners"] if pick() < 0.7 else ["@owners", "U0DEE"]
    table["overriders"] = [ANA] if pick() < 0.4 else []
    if pick() < 0.35:
        table["rules"] = [{"name": "security", "approvers": ["@security"]}]
    elif pick() < 0.3:
        table["hazards"] = {"access": {"approvers": ["@security"]}}
    if pick() < 0.15:
        table["windows"] = ["Mon-Fri 09:00-17:00 UTC"]
    if pick() < 0.1:
        day = now.date()
        table["freezes"] = [{"from": f"{day} 13:00 UTC", "to": f"{day} 20:00 UTC", "because": "a feast"}]
    return table
