"""The way for a first-time visitor, step by step. Whether a step is done is read from the log and the state each time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from audit import Event
from audit import Query
from audit import Reader
from sandbox.page_world import PARTNER_CHANNEL
from sandbox.page_world import World

DEPLOYS = "C0DEPLOYS"
KINDS = (
    "approved",
    "bot_started",
    "clicked",
    "commanded",
    "expired",
    "lock_waited",
    "refused",
    "requested",
    "succeeded",
    "superseded",
)


@dataclass(frozen=True)
class Facts:
    """What the steps are judged by: the log's events of KINDS, oldest first, where people looked, whose Home is there."""

    events: list[Event]
    looked_at: dict[str, int]
    has_home: bool

    def of(self, kind: str, who: str = "") -> list[Event]:
        """The events of a kind, those of one person where that is given."""
        return [one for one in self.events if one.kind == kind and one.actor.endswith(f"/{who}" if who else "")]

    def said(self, word: str) -> bool:
        return any((one.data or {}).get("word") == word for one in self.of("commanded"))

    def changed(self, words: str) -> bool:
        """Whether a request was superseded because of what these words name."""
        return any(words in " ".join((one.data or {}).get("changed", ())) for one in self.of("superseded"))

    def looked(self, where: str) -> bool:
        """Whether somebody looked there after a run had succeeded."""
        done = self.of("succeeded")
        return bool(done) and self.looked_at.get(where, 0) >= done[0].seq

    def read_sql(self) -> bool:
        """Whether somebody opened the full SQL, or said yes without it."""
        return "sql" in self.looked_at or bool(self.of("approved"))


@dataclass(frozen=True)
class Step:
    """One thing to do: who does it, the line to type or empty, where, and what tells that it is done."""

    id: str
    title: str
    text: str
    done: Callable[[Facts], bool]
    who: str | None = None
    fill: str | None = None
    channel: str = DEPLOYS
    look: str | None = "channel"


STEPS = (
    Step(
        "plan",
        "See what would run",
        "You are Ana. main has three migrations that prod lacks. Ask for the plan; only you see the answer.",
        lambda facts: facts.said("plan"),
        "U0ANA",
        "/migrate plan prod",
    ),
    Step(
        "diff",
        "See what changes in the schema",
        "The three ran on a throw-away copy of prod, so what they do is known before anybody is asked. You alone see this.",
        lambda facts: facts.said("diff"),
        "U0ANA",
        "/migrate diff prod",
    ),
    Step(
        "push",
        "Ask for it",
        "A card appears for everybody. Nothing runs: the request waits for somebody else's yes.",
        lambda facts: bool(facts.of("requested")),
        "U0ANA",
        "/migrate push prod",
    ),
    Step(
        "sql",
        "Read the full SQL",
        "Open the thread below the card. What is in this file is what people approve, byte for byte.",
        Facts.read_sql,
    ),
    Step(
        "guest",
        "Let a guest try",
        "As Gus, who is a guest, press Approve on the card. He is refused, and the refusal stands in the log.",
        lambda facts: bool(facts.of("refused", "U0GUS")),
        "U0GUS",
    ),
    Step(
        "approve",
        "Approve",
        "As Ben, who owns the databases, press Approve. Ana could not: nobody approves their own request.",
        lambda facts: bool(facts.of("approved")),
        "U0BEN",
    ),
    Step(
        "run",
        "Watch the run",
        "The card follows it: a backup is proven by restoring it, the migrations run, a health check asks the database.",
        lambda facts: bool(facts.of("succeeded")),
    ),
    Step(
        "schema",
        "Look at the tables",
        "On prod, public.orders has the column currency now, and the history has three more migrations.",
        lambda facts: facts.looked("schema"),
        look="schema",
    ),
    Step(
        "log",
        "Verify the log",
        "Every act was written down before it was done. Each event holds the hash of the one before it.",
        lambda facts: facts.looked("log"),
        "U0AUDRA",
        look="log",
    ),
    Step(
        "home",
        "Open App Home",
        "What waits for you, the environments, and your requests, on one page.",
        lambda facts: facts.has_home,
        "U0BEN",
        look="home",
    ),
    Step(
        "partner",
        "Ask from another company",
        "#with-partner is shared with Otto's company. He has no /migrate, but he can write to Countersign: it refuses him.",
        lambda facts: bool(facts.of("refused", "U0OTTO")),
        "U0OTTO",
        "@Countersign push prod",
        PARTNER_CHANNEL.id,
    ),
    Step(
        "edit_migration",
        "Break it: edit a migration",
        "Under Break things, press “Edit a migration”: one that waits for a yes is rewritten on main. Then, as Ben, press "
        "Approve on its card: the request no longer holds, and nothing runs.",
        lambda facts: facts.changed("no longer holds the commit"),
        "U0BEN",
        look="breakers",
    ),
    Step(
        "change_prod",
        "Break it: change prod by hand",
        "Under Break things, press “Change prod by hand”, then approve as Ben: prod is not the prod that was asked about, "
        "so nothing runs.",
        lambda facts: facts.changed("schema"),
        "U0BEN",
        look="breakers",
    ),
    Step(
        "expire",
        "Break it: let it get old",
        "Ask again, then, under Break things, move the clock 25 hours forward: a request that waited for a day expires.",
        lambda facts: bool(facts.of("expired")),
        "U0ANA",
        "/migrate push prod",
        look="breakers",
    ),
    Step(
        "lock_table",
        "Break it: hold a table",
        "Under Break things, press “Lock a table”, then approve as Ben: the run waits without making others wait, and "
        "names who is in the way.",
        lambda facts: bool(facts.of("lock_waited")),
        "U0BEN",
        look="breakers",
    ),
    Step(
        "kill_bot",
        "Break it: kill the bot",
        "Under Break things, kill it while that run waits. Start it again and release the table: it finds out what is on "
        "prod and goes on.",
        lambda facts: len(facts.of("bot_started")) > 1,
        look="breakers",
    ),
)


def guide_json(world: World) -> list[dict[str, Any]]:
    """All steps with whether they are done."""
    events = Reader(world.stage.log_path).find(Query(kinds=KINDS))
    facts = Facts(events, dict(world.looked_at), bool(world.slack.state.homes))
    return [
        {
            "id": step.id,
            "title": step.title,
            "text": step.text,
            "as": step.who,
            "fill": step.fill,
            "channel": step.channel,
            "done": step.done(facts),
            "look": step.look,
        }
        for step in STEPS
    ]
