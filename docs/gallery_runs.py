"""The scenes of runs: what they wait for, how they end, and what becomes of one that nobody knows the end of."""

from gallery_scene import Scene
from gallery_stage import ANA
from gallery_stage import BEN
from gallery_stage import CHI
from gallery_stage import DEE
from gallery_stage import Shown
from gallery_stage import Story

POINTS = "20261202090000_count_points.sql"
TIERS = "20261203090000_name_tiers.sql"
SLOW = "20261204090000_fill_tiers.sql"
TWICE = "alter table public.orders add column currency text;\n"
NO_SUCH_COLUMN = "update public.loyalty\n   set points = total\n where points = 0;\n"


def _waits_for_lock(story: Story) -> Shown:
    with story.table_read("public.orders"):
        number = story.approved("staging")
        shown = story.card(number, "monthly report")
    story.card(number, ": done")
    return shown


def _locked(story: Story) -> Shown:
    return story.say(DEE, "/migrate lock staging for 2h the importer runs")


def _refused_by_lock(story: Story) -> Shown:
    shown = story.say(ANA, "/migrate push staging")
    story.say(DEE, "/migrate unlock staging")
    return shown


def _failed(story: Story) -> Shown:
    story.migration(POINTS, TWICE)
    return story.card(story.approved("staging"), ": failed")


def _half_way(story: Story) -> Shown:
    story.migration(POINTS, "alter table public.loyalty add column since date;\n")
    story.migration(TIERS, NO_SUCH_COLUMN)
    return story.card(story.approved("staging"), "failed half-way")


def _running(story: Story) -> Shown:
    story.migration(TIERS, "alter table public.loyalty add column tier text;\n")
    story.migration(SLOW, "select pg_sleep(60);\n")
    return story.card(story.approved("staging"), "1 of 2 migrations applied")


def _stopped(story: Story) -> Shown:
    number = story.newest()
    story.press(ANA, "Stop", number)
    return story.card(number, "stopped")


def _interrupted(story: Story) -> Shown:
    story.migration(SLOW, "create index on public.loyalty (points);\n")
    number = story.ask("staging")
    story.lose_runner(number)
    return story.card(number, "interrupted")


def _settled(story: Story) -> Shown:
    number = story.newest()
    story.say(BEN, f"/migrate cancel {number} psql shows no index on points: nothing of it is there")
    return story.card(number, "settled")


RUNS = (
    Scene(
        "running-waits",
        "Running, and waiting for a lock",
        "A run that cannot get a table lock says who holds it. It gives up and tries again, so nobody queues behind it.",
        _waits_for_lock,
    ),
    Scene("lock", "A target is locked", "`lock staging` keeps runs away for a while.", _locked),
    Scene("locked", "Busy: locked", "`push staging` while somebody has locked it.", _refused_by_lock),
    Scene("failed", "Failed", "A migration failed and nothing of it remains.", _failed),
    Scene("partially-applied", "Failed half-way", "One file is applied, the next one failed.", _half_way),
    Scene("running", "Running", "The card follows the run, step by step, and can stop it after a question.", _running),
    Scene(
        "busy",
        "Too late to decide",
        "`approve` while the request runs already.",
        lambda story: story.say(CHI, f"/migrate approve {story.newest()}"),
        at_once=True,
    ),
    Scene(
        "stopped", "Stopped", "Somebody pressed *Stop the run* after the first of two files.", _stopped, at_once=True
    ),
    Scene(
        "interrupted",
        "Interrupted",
        "Nobody can know what became of a statement: the target stays blocked until a person has looked.",
        _interrupted,
    ),
    Scene("settled", "Settled", "A person looked and said what is there; the target is free again.", _settled),
)
