"""Safe migrations stay silent and hazardous ones are caught, each file alone and all of them in one plan."""

import re
import subprocess
from pathlib import Path

import pytest

from ops.hazards import Hazard
from ops.hazards import HazardClass
from ops.hazards import Level
from ops.hazards import Rule
from ops.hazards import all_rules
from ops.hazards import find_hazards
from ops.hazards.linter_rules import EXCLUDED
from ops.hazards.linter_rules import LINTED
from ops.hazards.linter_rules import OURS
from ops.hazards.squawk import SquawkTool
from ops.migrations import read_folder

DATA = Path(__file__).resolve().parent / "data"
SAFE = sorted((DATA / "safe_migrations").glob("*.sql"))
HAZARDOUS = sorted((DATA / "hazardous_migrations").glob("*.sql"))
CAUGHT = re.compile(rb"-- caught: (\S+) (\S+) (\S+)\n\Z")
LISTED = re.compile(rb"-- listed: (.*)\n")


CLASSES_OF_THE_LINTER = {
    *(HazardClass.LOCKS, HazardClass.REWRITE, HazardClass.COMPATIBILITY, HazardClass.IRREVERSIBLE),
    *(HazardClass.DATA_LOSS, HazardClass.TRANSACTION),
}


def hazards_of(*paths: Path, project_ref: str = "") -> tuple[Hazard, ...]:
    migrations = read_folder({path.name: path.read_bytes() for path in paths}).migrations
    return find_hazards(migrations, project_ref=project_ref)


def listed(path: Path) -> list[str]:
    """The rules that the file itself says may speak, as info."""
    return [rule for found in LISTED.findall(path.read_bytes()) for rule in found.decode().split(", ")]


@pytest.mark.parametrize("path", SAFE, ids=lambda path: path.stem)
def test_a_safe_migration_stays_silent(path: Path) -> None:
    (migration,) = read_folder({path.name: path.read_bytes()}).migrations
    found = find_hazards((migration,))
    assert migration.refusals == ()
    assert [each.rule for each in found] == listed(path), found
    assert all(each.level is Level.INFO for each in found)


def test_the_corpus_of_safe_migrations_is_as_large_as_promised() -> None:
    assert len(SAFE) >= 60
    assert sum(bool(listed(path)) for path in SAFE) <= 3


def test_safe_migrations_stay_silent_in_one_plan() -> None:
    """Each by itself is judged alone; together they also meet what the others make."""
    found = hazards_of(*SAFE)
    assert {each.rule for each in found} <= {rule for path in SAFE for rule in listed(path)}


@pytest.mark.parametrize("path", HAZARDOUS, ids=lambda path: path.stem)
def test_a_hazardous_migration_is_caught(path: Path) -> None:
    (expected,) = CAUGHT.findall(path.read_bytes())
    rule, hazard_class, level = (word.decode() for word in expected)
    found = hazards_of(path)
    assert (rule, HazardClass(hazard_class), Level(level)) in [(one.rule, one.hazard_class, one.level) for one in found]
    assert len({(one.rule, one.line) for one in found}) == len(found)
    assert len(found) <= 3, found


def test_the_corpus_of_hazardous_migrations_covers_every_class() -> None:
    classes = {CAUGHT.findall(path.read_bytes())[0][1].decode() for path in HAZARDOUS}
    assert classes == {each.value for each in HazardClass} - {"unchecked"}
    assert len(HAZARDOUS) >= 36


# --- the messages


NAMELESS = {
    "drop-owned": "whatever the role owns on the day",
    "vault-secret-replaced": "a secret's name is in a condition",
    "checks-switched-off": "a setting of the session",
}


def words_of(sql: str) -> set[str]:
    """The person's own names in an example: identifiers and quoted words that are no keywords."""
    own = {"orders", "people", "note", "positive", "billing", "sales_by_day", "citext", "archive", "mood", "reporting"}
    own |= {"buyer", "order_total", "orders_number", "stays", "open_orders", "all_may", "own rows", "token", "total"}
    own |= {
        "members",
        "orders_note",
        "orders_2020",
        "pg_cron",
        "vector",
        "supabase_realtime",
        "service_role",
        "f",
        "admins",
    }
    return {word for word in own if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", sql)}


@pytest.mark.parametrize(
    "rule",
    [
        rule
        for rule in all_rules()
        if rule.hazard_class
        in (HazardClass.DATA_LOSS, HazardClass.LOCKS, HazardClass.REWRITE, HazardClass.COMPATIBILITY)
        and rule.on
        and rule.id not in NAMELESS
        and words_of(rule.caught)
    ],
    ids=lambda rule: rule.id,
)
def test_a_message_carries_the_persons_own_names(rule: Rule) -> None:
    found = find_hazards(read_folder({"1_x.sql": rule.caught.encode()}).migrations, squawk=None)
    messages = [each.message for each in found if each.rule == rule.id]
    assert messages
    assert any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", messages[0]) for word in words_of(rule.caught))


# --- the linter beside our rules


def test_our_rules_catch_what_the_linter_catches() -> None:
    """Where the linter speaks of a file by a rule that is ours, ours speak of it too, by whatever name."""
    program = SquawkTool().program()
    if program is None:
        pytest.skip("squawk is not installed")
    command = [program, "--reporter", "gcc", "--assume-in-transaction"]
    spoken_of = 0
    for path in HAZARDOUS:
        said = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False).stdout
        if set(re.findall(r"warning: ([a-z-]+)", said)) & OURS:
            spoken_of += 1
            assert {each.hazard_class for each in hazards_of(path)} & CLASSES_OF_THE_LINTER, path.name
    assert spoken_of >= 15


def test_no_rule_of_the_linter_is_both_ours_and_left_out() -> None:
    assert not OURS & EXCLUDED
    assert not OURS & set(LINTED)
