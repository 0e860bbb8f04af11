"""The scenes of the gallery, in the order in which they are played on one stage: one row for each card."""

from dataclasses import replace

from gallery_approvals import ADD_LOYALTY
from gallery_approvals import APPROVALS
from gallery_approvals import LOYALTY
from gallery_runs import RUNS
from gallery_scene import Scene
from gallery_stage import ANA
from gallery_stage import BEN
from gallery_stage import CHI
from gallery_stage import DEE
from gallery_stage import GUS
from gallery_stage import Shown
from gallery_stage import Story

FORBIDDEN = "drop database shop;\n"
CONTACTS = "20261205090000_name_contacts.sql"
GIFTS = "20261206090000_make_gifts.sql"
MAKE_GIFTS = """\
create table public.gifts (id int primary key, name text);
insert into public.gifts values (1, 'mug'), (2, 'mug');
create unique index concurrently gifts_name on public.gifts (name);
alter table public.gifts enable row level security;
"""
MISTYPED = """\
create table public.contacts (
  customer_id uuid primary key references public.customers (id),
  phone text
);
alter table public.customers
  drop column emial;
"""
MENDED = """\
create table public.contacts (
  customer_id uuid primary key references public.customers (id),
  phone text
);
alter table public.loyalty
  drop column tier;
"""


def _second_yes(story: Story) -> Shown:
    story.press(CHI, "Approve", "R-1")
    return story.card("R-1", ": done")


def _one_yes(story: Story) -> Shown:
    return story.card("R-1", "1 of 2")


def _asked(story: Story) -> Shown:
    return story.card(story.ask("prod"), "[Approve for prod]")


def _reject_form(story: Story) -> Shown:
    view, shown = story.form(CHI, "Reject", "R-1")
    story.slack.close(CHI, view)
    return shown


def _no_reason(story: Story) -> Shown:
    view, shown = story.form(CHI, "Reject", "R-1")
    errors = story.slack.submit(CHI, view, {"reason": "   "}).errors
    story.slack.close(CHI, view)
    return replace(shown, errors=errors)


def _cancelled(story: Story) -> Shown:
    number = story.ask("staging")
    story.press(ANA, "Cancel", number)
    return story.card(number, "cancelled")


def _rejected(story: Story) -> Shown:
    number = story.ask("staging")
    view, _ = story.form(BEN, "Reject", number)
    story.slack.submit(BEN, view, {"reason": "The index on orders is already built by hand; drop it first."})
    return story.card(number, "rejected")


def _superseded(story: Story) -> Shown:
    older = story.ask("staging")
    story.migration(LOYALTY, ADD_LOYALTY)
    newer = story.ask("staging")
    story.press(ANA, "Cancel", newer)
    return story.card(older, "no longer holds")


def _waits_while_locked(story: Story) -> Shown:
    number = story.ask("staging")
    story.say(DEE, "/migrate lock staging for 2h the importer runs")
    return story.card(number, "importer")


def _approved_while_locked(story: Story) -> Shown:
    number = story.newest()
    story.press(BEN, "Approve", number)
    shown = story.card(number, "waits for a lock to end")
    story.press(ANA, "Cancel", number)
    story.say(DEE, "/migrate unlock staging")
    return shown


def _expired(story: Story) -> Shown:
    number = story.ask("staging")
    story.clock.forward(25 * 3600)
    return story.card(number, "expired")


def _rehearsal_failed(story: Story) -> Shown:
    story.migration(CONTACTS, MISTYPED)
    return story.say(ANA, "/migrate plan preview")


def _diff(story: Story) -> Shown:
    story.migration(CONTACTS, MENDED)
    return story.say(ANA, "/migrate diff preview")


def _accepted(story: Story) -> Shown:
    number = story.newest()
    story.press(BEN, "Approve", number)
    return story.card(number, "accepted ")


def _in_the_middle(story: Story) -> Shown:
    story.press(ANA, "Cancel", story.newest())
    story.migration(GIFTS, MAKE_GIFTS)
    return story.card(story.approved("staging"), "part of one more")


def _resume(story: Story) -> Shown:
    story.press(ANA, "Resume", story.newest())
    return story.card_of_next("resume", "[Approve for staging]")


def _rollback(story: Story) -> Shown:
    story.press(ANA, "Cancel", story.newest())
    return story.say(ANA, "/migrate rollback R-1")


def _rollback_asked(story: Story) -> Shown:
    story.say(ANA, "/migrate rollback R-1 --with inverse")
    return story.card_of_next("rollback", "[Approve for prod]")


def _terminate(story: Story) -> Shown:
    with story.table_read("public.orders") as pid:
        story.say(ANA, f"/migrate terminate staging pid{pid}")
        shown = story.card_of_next("terminate", "[Approve for staging]")
        story.press(ANA, "Cancel", story.newest())
    return shown


def _blocked(story: Story) -> Shown:
    story.migration("20261207090000_drop_shop.sql", FORBIDDEN)
    return story.say(ANA, "/migrate plan staging")


SCENES = (
    Scene(
        "plan",
        "A plan",
        "`plan prod` shows, to whoever typed it, what a push would run and what it warns of.",
        lambda story: story.say(ANA, "/migrate plan prod"),
    ),
    Scene("waiting", "A request that waits", "`push prod` posts it into the channel for everybody.", _asked),
    Scene(
        "refused",
        "Refused",
        "Whoever may not decide is told so in private, with who may.",
        lambda story: story.press(ANA, "Approve", "R-1"),
    ),
    Scene(
        "recorded",
        "An approval is recorded",
        "Whoever approves is told in private what it still takes.",
        lambda story: story.press(BEN, "Approve", "R-1"),
    ),
    Scene(
        "one-of-two", "One of two has approved", "The same card after the first yes, where two are needed.", _one_yes
    ),
    Scene(
        "approve-typed",
        "A typed approval",
        "`approve R-1` shows the plan first, in private, with a button that works once and for this person.",
        lambda story: story.say(CHI, "/migrate approve R-1"),
    ),
    Scene("reject-form", "The reason for a no", "*Reject…* asks why; the requester reads it.", _reject_form),
    Scene("reject-error", "A no without a reason", "The form says what is missing, and stays open.", _no_reason),
    Scene(
        "why",
        "Why it does not run yet",
        "`why R-1`: every rule of a run, met or missing, by whom, and what comes next.",
        lambda story: story.say(DEE, "/migrate why R-1"),
    ),
    Scene(
        "simulate",
        "What if",
        "`simulate`: what would be so if these people said yes. The same rules as a click and the run; nothing is written.",
        lambda story: story.say(DEE, "/migrate simulate R-1 --approve @Chi @Ana"),
    ),
    Scene(
        "choose-form",
        "A bare command",
        "`/migrate` alone opens a form. What is chosen is the same as typing it.",
        lambda story: story.choice(DEE),
    ),
    Scene(
        "home",
        "Home of somebody for whom a request waits",
        "The app's Home tab. It leads to the cards, and only there can anybody decide.",
        lambda story: story.home(CHI, "request waits for you"),
    ),
    Scene(
        "home-stranger",
        "Home of a guest",
        "Guests and people of other companies see nothing.",
        lambda story: story.home(GUS, "guest"),
    ),
    Scene("succeeded", "Done", "The card after its run.", _second_yes),
    Scene(
        "backup-proven",
        "The proof of the backup",
        "A note in the card's thread, before any statement has run.",
        lambda story: story.note("R-1", "Backup proven"),
    ),
    Scene(
        "show",
        "Everything about a request",
        "`show R-1`, in private.",
        lambda story: story.say(DEE, "/migrate show R-1"),
    ),
    Scene(
        "nothing-to-do",
        "Nothing to do",
        "`push prod` when all is applied.",
        lambda story: story.say(ANA, "/migrate push prod"),
    ),
    Scene("cancelled", "Cancelled", "The requester took it back.", _cancelled),
    Scene("rejected", "Rejected", "An approver said no, and why.", _rejected),
    Scene("superseded", "No longer holds", "Somebody asked for a newer plan of the same target.", _superseded),
    Scene(
        "waiting-locked",
        "A request that waits, on a locked target",
        "It can be approved; the card says who locked the target, until when and why.",
        _waits_while_locked,
    ),
    Scene(
        "approved-locked",
        "Approved, on a locked target",
        "It starts by itself when the lock ends.",
        _approved_while_locked,
        at_once=True,
    ),
    *APPROVALS,
    *RUNS,
    Scene("expired", "Expired", "Nobody decided in time.", _expired),
    Scene(
        "rehearsal-failed",
        "A migration that failed on the copy",
        "`plan preview`: the error as a compiler shows it, before anybody is asked. Nothing was sent to the target.",
        _rehearsal_failed,
    ),
    Scene(
        "diff",
        "What changes in the schema",
        "`diff preview`, in private; the whole difference comes as a file, directly to whoever asked.",
        _diff,
    ),
    Scene(
        "classes",
        "A request that takes more",
        "The rules ask for more people, and for certain people, because of what the plan does.",
        lambda story: story.card(story.ask("preview"), "[Approve for preview]"),
    ),
    Scene(
        "accepted",
        "Accepted by name",
        "Whoever says yes accepts the classes of hazards by name; the card says who accepted what, and who is missing.",
        _accepted,
    ),
    Scene(
        "in-the-middle",
        "Failed in the middle of a file",
        "A file that cannot be one transaction: the card says, statement by statement, what ran, and offers the ways on.",
        _in_the_middle,
    ),
    Scene("resume", "A request to run what is left", "*Resume* asks for it; it is approved like a push.", _resume),
    Scene(
        "rollback",
        "The ways back",
        "`rollback R-1`: only what worked on a copy, with what it would lose, counted on the target.",
        _rollback,
    ),
    Scene("rollback-asked", "A request to undo", "`rollback R-1 --with inverse`.", _rollback_asked),
    Scene(
        "terminate",
        "A request to end a session",
        "`terminate staging`: who is in the way, since when, and what they would lose.",
        _terminate,
    ),
    Scene("plan-blocked", "A plan that cannot be pushed", "What is in the way, and how to mend it.", _blocked),
    Scene(
        "status",
        "Status",
        "`status`: what waits, what runs, the last backups.",
        lambda story: story.say(DEE, "/migrate status"),
    ),
    Scene("history", "History", "`history`: the newest requests.", lambda story: story.say(DEE, "/migrate history")),
    Scene("help", "Help", "`help`: the words, and what you may do.", lambda story: story.say(DEE, "/migrate help")),
    Scene(
        "typo",
        "A word that is not there",
        "The nearest word is named.",
        lambda story: story.say(DEE, "/migrate pusch prod"),
    ),
    Scene(
        "home-quiet",
        "Home when nothing waits",
        "What somebody sees for whom nothing waits: where to begin, their requests, and what happened last.",
        lambda story: story.home(ANA, "Nothing waits for you"),
    ),
)
