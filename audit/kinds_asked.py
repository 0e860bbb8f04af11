"""What people said and decided: the data of events up to the start of a run."""

from typing import Any
from typing import Literal

from pydantic import Field

from audit.data import Data


class Commanded(Data):
    """Somebody typed a word. `text` is masked; `arguments` are those that were recognised, masked too.

    `thread`: the first message of the thread in which it was said.
    `behind`: the logins of those who started the CI job in which it was said, as the job says; nothing proves them.
    """

    word: str
    arguments: list[str]
    text: str
    front: Literal["slack", "terminal", "ci"]
    channel: str | None = None
    thread: str | None = None
    behind: list[str] = Field(default_factory=list)


class Clicked(Data):
    """Somebody pressed a button or sent a form. `value` is what the button carried, whoever made it."""

    verb: str
    value: str
    channel: str | None = None
    message: str | None = None
    inputs: dict[str, str]


class Answered(Data):
    """An act was answered; `to` is the id of its event. What is acked but not answered is answered after a restart."""

    to: str
    ok: bool
    reason: str | None = None
    message: str


class Refused(Data):
    """Something was not allowed: the stable reason, the sentence that the person read, the facts it rests on."""

    to: str | None = None
    word: str
    reason: str
    message: str
    facts: dict[str, Any]


class Planned(Data):
    """What would run on a target was computed and shown to somebody."""

    commit: str | None
    digest: str
    pending: list[dict[str, str]]
    hazards: list[dict[str, Any]]
    fingerprint: dict[str, Any]
    problems: list[str]


class RehearsalStarted(Data):
    """Files are run on a throw-away copy of a target; what a plan or an undo showed is kept under the same `basis`. It is
    empty where a history is replayed, of which only a comparison comes."""

    basis: str
    commit: str
    files: list[str]
    with_data: bool


class Rehearsed(Data):
    """What running a plan on a copy showed. `digest` is the plan's with this rehearsal (of a way to undo, which is no plan
    yet, the `basis`); `diff` is the schema's.

    `report` is within bounds; `hazards` were judged by the whole of it. `sizes` are the bytes of relations on the target,
    None where there were too many.
    """

    basis: str
    digest: str
    report: dict[str, Any]
    diff: str
    hazards: list[dict[str, Any]] = Field(default_factory=list)
    sizes: dict[str, int] | None = None


class Requested(Data):
    """Somebody asks to run a plan. `plan` is the canonical plan whose SHA-256 is `digest`.

    `rehearsal` is what it showed on a copy, within bounds; all of it is in the `rehearsed` event that its `event` names.
    `at_supabase` says what Supabase itself could put back then, where it was asked.
    `behind` are the people who started the CI job that asked, as far as [people] knows them.
    `replaces` is the waiting request that it was planned in place of; `queued_since` when that was first asked for, where
    it was planned again by itself.
    """

    kind: str
    digest: str
    commit: str
    plan: dict[str, Any]
    hazards: list[dict[str, Any]]
    authors: list[str]
    unknown_authors: list[str]
    behind: list[str] = Field(default_factory=list)
    expires_at: str
    rehearsal: dict[str, Any] | None = None
    replaces: str | None = None
    queued_since: str | None = None
    at_supabase: str = ""


class Pinned(Data):
    """Group handles of the policy and the Slack ids that they meant when the request was picked up.

    `classes`: of the eligible people, who can give the yes that a class of the plan's hazards asks for. `rules`: who may
    fill a place of each rule; empty where the environment's own rule is the only one, of which all the eligible may.
    """

    groups: dict[str, str]
    eligible: list[str]
    classes: dict[str, list[str]] = Field(default_factory=dict)
    rules: dict[str, list[str]] = Field(default_factory=dict)


class Shown(Data):
    """The full SQL of a digest (or only its hash, where the configuration says so) reached the people who decide."""

    digest: str
    how: Literal["file", "hash", "terminal"]
    channel: str | None = None
    message: str | None = None
    file: str | None = None
    sha256: str


class Approved(Data):
    """One person's yes to one digest, with the rule that let it count."""

    digest: str
    number: int
    needed: int
    facts: dict[str, Any]


class Reminded(Data):
    """These people were still to decide when this share of the time for it was over (`half`, `nine_tenths`)."""

    share: Literal["half", "nine_tenths"]
    to: list[str]
    expires_at: str


class Rejected(Data):
    """One approver's no; it ends the request."""

    digest: str
    because: str
    facts: dict[str, Any]


class Cancelled(Data):
    """The requester, or somebody who may, took the request back before it ran."""

    because: str


class Expired(Data):
    """The time for deciding ran out. Expiry is computed from the clock; this event only says that it was noticed."""

    expires_at: str


class Superseded(Data):
    """What would run is no longer what was asked for. `changed` names the parts."""

    changed: list[str]
    message: str
    by: str | None = None
