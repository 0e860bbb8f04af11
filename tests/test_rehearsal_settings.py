"""What an environment says about rehearsals, hazards and looking for changes: defaults, mistakes, and the digest."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ops.environment import Environment
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import load_settings
from ops.targets import find_target

PROD = "projects.shop.environments.prod"
OWNERS = 'approvals = 1\napprovers = ["@owners"]\n'


def text_of(lines: str) -> str:
    return (
        '[projects.shop]\nrepository = "r"\n'
        '[projects.shop.environments.prod]\ndatabase_url = "$URL"\nbranch = "main"\n' + lines
    )


def load(folder: Path, lines: str) -> Environment:
    path = folder / "countersign.toml"
    path.write_text(text_of(lines))
    return find_target(load_settings(path), "prod").settings


def test_where_people_approve_a_rehearsal_is_required_and_the_target_is_watched(tmp_path: Path) -> None:
    people, nobody = load(tmp_path, OWNERS), load(tmp_path, "approvals = 0\n")

    assert (people.rehearsal_level, people.drift_every) == ("required", timedelta(hours=1))
    assert (nobody.rehearsal_level, nobody.drift_every) == ("off", None)
    assert (people.with_data, people.isolation, people.hazards, people.overriders) == (False, "none", {}, ())


def test_what_is_said_overrules_the_defaults(tmp_path: Path) -> None:
    said = load(tmp_path, OWNERS + 'rehearsal = "shown"\ndrift_check = "90s"\nisolation = "full"\nwith_data = true\n')
    off = load(tmp_path, OWNERS + 'rehearsal = "off"\ndrift_check = "off"\n')

    assert (said.rehearsal_level, said.drift_every) == ("shown", timedelta(seconds=90))
    assert (said.isolation, said.with_data) == ("full", True)
    assert (off.rehearsal_level, off.drift_every) == ("off", None)


def test_policy_of_a_class_is_in_what_people_approve(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        OWNERS + 'overriders = ["U0ZOE", "U0BEN"]\n'
        'hazards = { secrets = "refused", access = { approvers = ["@security", "U0BEN"] }, '
        "data_loss = { approvals = 3 }, locks = { refused = true } }\n",
    )

    policy = found.policy()

    assert list(policy["hazards"]) == ["access", "data_loss", "locks", "secrets"]
    assert policy["hazards"] == {
        "access": {"approvals": 0, "approvers": ["@security", "U0BEN"]},
        "data_loss": {"approvals": 3, "approvers": []},
        "locks": "refused",
        "secrets": "refused",
    }
    assert (policy["rehearsal"], policy["with_data"], policy["isolation"]) == ("required", False, "none")
    assert policy["overriders"] == ["U0BEN", "U0ZOE"]


CHANGES = [
    ('rehearsal = "shown"', "rehearsal"),
    ("with_data = true", "with_data"),
    ('isolation = "partial"', "isolation"),
    ("hazards = { access = { approvals = 2 } }", "hazards"),
    ('overriders = ["U0ZOE"]', "overriders"),
]


@pytest.mark.parametrize(("line", "part"), CHANGES, ids=[row[1] for row in CHANGES])
def test_a_change_of_this_is_another_policy(tmp_path: Path, line: str, part: str) -> None:
    before, after = load(tmp_path, OWNERS).policy(), load(tmp_path, OWNERS + line).policy()

    assert {key for key in before if before[key] != after[key]} == {part}


def test_how_often_a_target_is_looked_at_is_no_part_of_an_approval(tmp_path: Path) -> None:
    assert load(tmp_path, OWNERS).policy() == load(tmp_path, OWNERS + 'drift_check = "off"').policy()


def hazards(rule: str) -> str:
    return f"{OWNERS}hazards = {{ {rule} }}"


MISTAKES = [
    ("on", OWNERS + 'rehearsal = "on"', ".rehearsal: Input should be 'off', 'shown' or 'required'"),
    ("data of no rehearsal", "approvals = 0\nwith_data = true", ": with_data = true, but nothing is rehearsed here"),
    ("data as text", OWNERS + 'with_data = "yes"', ".with_data must be true or false"),
    ("a level that is none", OWNERS + 'isolation = "half"', ".isolation: Input should be 'none', 'partial' or 'full'"),
    ("too often", OWNERS + 'drift_check = "59s"', '.drift_check: a look at the target takes its time: at least "1m"'),
    ("never", OWNERS + 'drift_check = "never"', ".drift_check: a duration is a number and a unit"),
    ("no overrider", OWNERS + 'overriders = ["zoe"]', ".overriders.0: 'zoe' is neither a group"),
    ("a misspelt class", hazards('dataloss = "refused"'), ".hazards.dataloss: 'dataloss' is no class of hazards: did"),
    (
        "an unknown class",
        hazards('zzz = "refused"'),
        ".hazards.zzz: 'zzz' is no class of hazards: there are data_loss,",
    ),
    ("another word", hazards('access = "never"'), ".hazards.access: a class of hazards takes { approvals = 3 }, { app"),
    ("a number", hazards("access = 3"), ".hazards.access must be a table of its own"),
    ("nothing", hazards("access = {}"), ".hazards.access: say what this class takes: approvals = 3"),
    ("not refused", hazards("access = { refused = false }"), ".hazards.access: say what this class takes"),
    (
        "both",
        hazards("access = { refused = true, approvals = 3 }"),
        ".hazards.access: what is refused is approved by no",
    ),
    ("nobody", hazards("access = { approvers = [] }"), ".hazards.access: approvers must not be empty"),
    (
        "a stranger",
        hazards('access = { approvers = ["ben"] }'),
        ".hazards.access.approvers.0: 'ben' is neither a group",
    ),
    ("no more", hazards("access = { approvals = 1 }"), ": hazards.access.approvals = 1 is no more than approvals = 1"),
    ("zero", hazards("access = { approvals = 0 }"), ".hazards.access.approvals: Input should be greater than or equal"),
    (
        "misspelt",
        hazards("access = { aprovals = 2 }"),
        ".hazards.access.aprovals is not a setting that exists: did you",
    ),
    (
        "too few",
        'approvals = 1\napprovers = ["U0BEN"]\nhazards = { access = { approvals = 3, approvers = ["U0CHI"] } }',
        ": hazards.access.approvals = 3 but only 2 may give them: name more approvers, or a @group",
    ),
]


@pytest.mark.parametrize(("lines", "told"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_a_mistake_is_named_with_its_place_and_cure(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(OpsError) as caught:
        load(tmp_path, lines)

    assert caught.value.reason is Reason.BAD_CONFIG
    assert f"{PROD}{told}" in caught.value.message


def test_a_class_may_ask_for_people_where_nothing_else_does(tmp_path: Path) -> None:
    found: Any = load(tmp_path, 'approvals = 0\nhazards = { data_loss = { approvers = ["@owners"] } }\n')

    assert found.policy()["hazards"]["data_loss"] == {"approvals": 0, "approvers": ["@owners"]}
