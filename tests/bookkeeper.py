"""Somebody who looks on while people ask, agree and change their minds, writes down what was said of what, and says of every
run whether it may be. Of the log it is told only which requests there are.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from datetime import datetime
from datetime import timedelta
from typing import Any

import approvals_oracle as oracle
from approvals_world import START
from approvals_world import File
from approvals_world import Head
from approvals_world import Place
from approvals_world import State
from approvals_world import World

from audit import Query
from ops.requests import Request
from ops.requests import find_request
from ops.status import Status

ANA, ZOE = "U0ANA", "U0ZOE"
ASKERS = (ANA, ZOE)
APPROVERS = ("U0BEN", "U0CHI", "U0DEE", "U0EVE")
EMAILS = {f"{user[2:].lower()}@acme.example": user for user in (*ASKERS, *APPROVERS)}


LASTS = timedelta(hours=24)


@dataclass
class Story:
    """What the bookkeeper knows of one request, from what was asked for, shown and said: nothing of it is from the log."""

    number: str
    by: str
    digest: str
    files: tuple[File, ...]
    state: State
    table: str
    authors: frozenset[str]
    groups: dict[str, tuple[str, frozenset[str]]]
    runs_before: int
    landed_before: int
    emergency: bool
    expires_at: datetime
    yes: list[str] = field(default_factory=list)
    perhaps: list[str] = field(default_factory=list)
    """Who said yes as the process died: they may count."""
    is_over: bool = False
    ran: bool = False
    is_replaced: bool = False
    """Perhaps: whoever asked for it asked again. What became of that is for the log to say."""
    overridden: bool = False
    perhaps_overridden: bool = False

    @property
    def hazards(self) -> set[tuple[str, str]]:
        return {one for file in self.files for one in file.hazards}


@dataclass
class Bookkeeper:
    """The notes about one target, `name`/prod, in a world; `table` is what its configuration says now."""

    world: World
    name: str
    table: dict[str, Any] = field(default_factory=dict)
    stories: dict[str, Story] = field(default_factory=dict)
    runs: list[Story] = field(default_factory=list)
    landed: int = 0
    running: set[str] = field(default_factory=set)
    owed: dict[str, list[str]] = field(default_factory=dict)
    locked_until: datetime = START
    frozen_until: dict[str, datetime] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seq: int = 0

    def __post_init__(self) -> None:
        self.place = self.world.places[f"{self.name}/prod"] = Place(Head("", ()))
        self.world.at_work = self.judge

    def learn(self, *, emergency: bool = False) -> list[Story]:
        """Write down the requests that are new, with what anybody could see when they were made."""
        found = []
        query = Query(project=self.name, kinds=("requested",), after_seq=self.seq)
        for event in self.world.view.find(query):
            self.seq = event.seq
            head = self.place.commits[event.data["commit"]] if event.data else self.place.head
            there = {version for version, _ in self.place.rows}
            story = Story(
                number=event.request or "",
                by=event.actor.rpartition("/")[2],
                digest=str(event.data and event.data["digest"]),
                files=tuple(one for one in head.files if one.version not in there),
                state=self.place.state(),
                table=json.dumps(self.table),
                authors=frozenset(EMAILS[one] for one in head.emails),
                groups=dict(self.world.town.groups),
                runs_before=len(self.runs),
                landed_before=self.landed,
                emergency=emergency,
                expires_at=self.world.now + LASTS,
            )
            for older in self.stories.values():
                older.is_replaced |= older.by == story.by
            self.stories[story.number] = story
            found.append(story)
        return found

    def who(self) -> oracle.Who:
        return oracle.Who(self.world.town.problems, self.world.town.groups)

    def request(self, story: Story) -> Request:
        return find_request(self.world.view, story.number)

    def wanted(self, story: Story) -> oracle.Wanted:
        return oracle.wanted_of(json.loads(story.table), story.hazards, ())

    def counting(self, story: Story, yes: list[str]) -> list[str]:
        """Of those who said yes, who counts at this moment, each once."""
        wanted, barred = self.wanted(story), {story.by, *story.authors}
        ids = {handle: id for handle, (id, _) in story.groups.items() if handle in wanted.everybody}
        return [one for one in dict.fromkeys(yes) if oracle.counts(one, wanted, self.who(), ids, barred)]

    def covers(self, older: Story, newer: Story) -> bool:
        """Whether a yes to an earlier request was one to all of this: it still waited then, it has the same files or more, of
        which what is missing ran by us, nobody else touched the target, and nothing is worse or ruled otherwise."""
        if (older.by, older.table, older.emergency) != (newer.by, newer.table, newer.emergency):
            return False
        if older.is_over or older.expires_at <= newer.expires_at - LASTS:
            return False
        ran = [file for run in self.runs[older.runs_before : newer.runs_before] for file in run.files]
        left = tuple(one for one in older.files if one not in ran)
        is_no_worse = newer.authors <= older.authors and newer.hazards <= older.hazards
        return left == newer.files and is_no_worse and after(older.state, ran).state() == newer.state

    def said(self, story: Story) -> list[str]:
        """Everybody whose yes could be one to exactly this, given here or to what it took the place of."""
        before = [one for one in self.stories.values() if int(one.number[2:]) < int(story.number[2:])]
        chain = [one for one in before if self.covers(one, story)]
        return [name for one in (*chain, story) for name in (*one.yes, *one.perhaps)]

    def may_override(self, story: Story) -> bool:
        is_overrider = story.by in json.loads(story.table)["overriders"] and story.by not in self.world.town.problems
        return story.perhaps_overridden and story.emergency and is_overrider and not self.owes(but=story.number)

    def owes(self, but: str = "") -> bool:
        return any(number != but for number in self.owed)

    def is_held(self) -> bool:
        held = (self.locked_until, *self.frozen_until.values())
        return any(self.world.now < until for until in held)

    def is_shut(self) -> bool:
        """By the configuration's clock, which an emergency that was proven passes."""
        at = self.world.now
        return not oracle.is_in_window(self.table, at) or oracle.is_in_freeze(self.table, at)

    def judge(self, request: Request) -> None:
        """A run would send its first statement now: note all that is wrong with that."""
        story = self.stories[request.id]
        begun = [file for file in story.files if (file.version, file.sha256) in self.place.rows]
        base = after(story.state, begun)
        is_first = request.id not in self.running
        enough = oracle.is_enough(self.wanted(story), self.counting(story, self.said(story)), self.who())
        found = {
            "nobody may say no and have it run": story.is_over,
            "it had expired": self.world.now >= story.expires_at,
            "the files are others": [(one["version"], one["sha256"]) for one in request.files]
            != [(one.version, one.sha256) for one in story.files],
            "the target is not as it was": self.place.state() != base.state(),
            "the policy is another one": story.table != json.dumps(self.table),
            "somebody holds the target": self.is_held(),
            "it is no time for it": is_first and self.is_shut() and not story.perhaps_overridden,
            "something else runs": bool(self.running - {request.id}),
            "too few people": not enough and not self.may_override(story),
        }
        self.seen["began"] += is_first
        self.seen["carried"] += any(one.carried_from for one in request.approvals)
        self.seen["by override"] += not enough
        self.running.add(request.id)
        if not enough:
            self.owed[request.id] = []
        self.wrong += [f"{request.id} ran: {words}" for words, is_so in found.items() if is_so]

    def must_run(self, story: Story) -> bool:
        """Whether nothing at all speaks against it."""
        return bool(
            self.world.now < story.expires_at
            and story.table == json.dumps(self.table)
            and (story.state, story.landed_before) == (self.place.state(), self.landed)
            and not self.running
            and not self.is_held()
            and (story.overridden or not self.is_shut())
            and oracle.is_enough(self.wanted(story), self.counting(story, story.yes), self.who())
            and (request := self.request(story)).status is Status.WAITING
            and request.shown
            and request.commit in self.place.commits
        )

    def ended(self, story: Story) -> None:
        """Look what became of a run."""
        status = self.request(story).status
        self.running.discard(story.number)
        if status is Status.RUNNING:
            self.running.add(story.number)  # its process died
        if status in {Status.SUCCEEDED, Status.PARTIALLY_APPLIED} and not story.ran:
            story.ran = True
            self.landed += 1
            self.runs += [story] if status is Status.SUCCEEDED else []


def after(state: State, files: Sequence[File]) -> Place:
    """A target of this state once these files are applied."""
    place = Place(Head("", ()), rows=state[0], schema=state[1])
    for file in files:
        place.apply(file)
    return place
