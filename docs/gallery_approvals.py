"""The scenes of rules, freezes and changed plans; they leave nothing pending that was not."""

from gallery_scene import Scene
from gallery_stage import ANA
from gallery_stage import BEN
from gallery_stage import DEE
from gallery_stage import Shown
from gallery_stage import Story

LOYALTY = "20261201090000_add_loyalty.sql"
ADD_LOYALTY = """\
create table public.loyalty (customer_id uuid primary key references public.customers (id), points int not null default 0);
alter table public.loyalty enable row level security;
"""
WITH_DATE = f"{ADD_LOYALTY}alter table public.loyalty add column since date;\n"


def _frozen(story: Story) -> Shown:
    number = story.ask("staging")
    story.say(BEN, "/migrate freeze staging for 2h the auditors count")
    story.press(BEN, "Approve", number)
    shown = story.card(number, "waits for a freeze to end")
    story.press(ANA, "Cancel", number)
    story.say(BEN, "/migrate unfreeze staging")
    return shown


def _two_rules(story: Story) -> Shown:
    number = story.ask("eu")
    story.press(BEN, "Approve", number)
    return story.card(number, "1 of 2")


def _who(story: Story) -> Shown:
    return story.say(DEE, "/migrate who eu")


def _planned_again(story: Story) -> Shown:
    story.migration(LOYALTY, WITH_DATE)
    return story.card(story.ask("eu"), "does not count here")


def _letter(story: Story) -> Shown:
    shown = story.letter(BEN, "does not count")
    story.press(ANA, "Cancel", story.newest())
    story.migration(LOYALTY, ADD_LOYALTY)
    return shown


APPROVALS = (
    Scene(
        "frozen",
        "Approved, on a frozen target",
        "`freeze staging for 2h`: approving stays possible; everything is checked again when the freeze ends.",
        _frozen,
        at_once=True,
    ),
    Scene(
        "two-rules",
        "Two rules, met by different people",
        "The card says who fills a place of which rule, and who could fill what is free.",
        _two_rules,
    ),
    Scene("who", "Who may do what", "`who eu`, as Slack says at that moment.", _who),
    Scene(
        "planned-again",
        "A new plan takes the place of another",
        "Ben had approved; the new card says what he has not seen, and that his yes does not count for it.",
        _planned_again,
    ),
    Scene("letter", "Told directly", "Whoever is concerned gets a direct message, here Ben.", _letter),
)
