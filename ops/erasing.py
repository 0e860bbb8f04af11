"""Erasing text from the log: whose, what has to stay, and who has to agree. The events stay, and prove as before."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audit import Draft
from audit import Event
from audit import Log
from audit import Query
from audit import View
from audit import erase
from ops.debts import open_debts
from ops.errors import OpsError
from ops.errors import Reason
from ops.holds import holds_event
from ops.holds import holds_in
from ops.layer import Ops
from ops.layer import utc_now
from ops.people import Actor
from ops.requests import open_requests
from ops.segments import mend
from ops.settings import Settings

AT_ONCE = 2000
"""So many numbers one `erased` event holds."""

PROOF = frozenset(
    {"erased", "erasure_asked", "held", "released", "segment_sealed", "archived", "archive_restored", "backed_up"}
    | {"drop_began", "dropped", "checkpoint_signed", "checkpoint_published", "key_made", "key_retired"}
)
STATE = frozenset(
    {"configured", "state_noted", "changed_outside", "adopted", "recorded", "backup_proven", "backup_removed"}
    | {
        "migration_applied",
        "migration_undone",
        "history_repaired",
        "script_run",
        "prior_copied",
        "prior_copies_removed",
    }
    | {"partially_applied", "interrupted", "debt_owed", "reviewed", "frozen", "unfrozen", "locked", "unlocked"}
)


@dataclass(frozen=True)
class Wanted:
    """What somebody wants erased: of a person (a Slack id or a whole actor), of a request, these events, or what the event
    `agree` asked for. One of them is given."""

    person: str = ""
    request: str = ""
    seqs: Sequence[int] = ()
    agree: int = 0

    def words(self) -> str:
        if self.person:
            return f"what {self.person} typed and did"
        return f"what was recorded of {self.request}" if self.request else f"{len(self.seqs)} events"


@dataclass(frozen=True)
class Erasable:
    """The events whose text goes, and those whose text stays, with why."""

    seqs: tuple[int, ...]
    kept: Mapping[int, str]


@dataclass(frozen=True)
class Erasure:
    """What became of it: `asked` is the event that somebody else has to agree to, None where it is done. `months` are the
    sealed segments that were made again, `copies` what the log knows that lies elsewhere and holds the text still."""

    found: Erasable
    asked: int | None
    months: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


def erasable(view: View, wanted: Wanted) -> Erasable:
    """What of it can go now. Raises OpsError: nothing like it is there."""
    holds = holds_in(view)
    needed = {one.id: "the request is not over" for one in open_requests(view)}
    needed |= {one.request: "a review of the request is owed" for one in open_debts(view)}
    seqs: list[int] = []
    kept: dict[int, str] = {}
    for event in _events(view, wanted):
        if event.data is None:
            continue
        if why := _why_kept(event, needed, holds_event(holds, event.request, f"{event.at:%Y-%m}")):
            kept[event.seq] = why
        else:
            seqs.append(event.seq)
    return Erasable(tuple(seqs), kept)


def _events(view: View, wanted: Wanted) -> list[Event]:
    if wanted.person:
        found = _of_person(view, wanted.person)
    elif wanted.request:
        found = view.find(Query(request=wanted.request.upper()))
    else:
        found = [event for seq in wanted.seqs for event in view.find(Query(after_seq=seq - 1, before_seq=seq + 1))]
    if not found:
        raise OpsError(
            Reason.BAD_USAGE, "The log holds no such event.", "`audit query` finds events and their numbers."
        )
    return found


def _of_person(view: View, person: str) -> list[Event]:
    """Slack's ids are without their team at people's fingertips; the log has actors with it."""
    if ":" in person:
        return view.find(Query(actor=person))
    return [
        event for event in view.find(Query()) if event.actor.startswith("slack:") and event.actor.endswith(f"/{person}")
    ]


def _why_kept(event: Event, needed: Mapping[str, str], hold: str) -> str:
    if hold:
        return f"{hold} is held"
    if event.kind in PROOF:
        return "it is what the log is proven by"
    if event.kind in STATE:
        return "what the bot knows of a target rests on it"
    return needed.get(event.request or "", "")


def ask_erasure(ops: Ops, wanted: Wanted, because: str, actor: Actor) -> Erasure:
    """Write down that somebody wants this erased, for somebody else to agree to. Raises OpsError."""
    found = _some(erasable(ops.view, wanted))
    data = {"seqs": list(found.seqs), "about": wanted.words(), "because": because}
    [event] = ops.log.append([Draft(kind="erasure_asked", actor=actor.id, stream="all", data=data)])
    return Erasure(found, event.seq)


def erase_text(settings: Settings, wanted: Wanted, because: str, actor: Actor) -> Erasure:
    """Erase it, in the log and in the sealed segments, and say what lies elsewhere. The log must be closed. Saying it again
    goes on where it was stopped. Raises OpsError, AuditError."""
    found: list[Erasable] = []

    def decide(view: View) -> list[Draft]:
        asked = _agreed(view, wanted, actor) if wanted.agree else wanted
        if settings.audit.erase_needs_two and not wanted.agree:
            raise OpsError(Reason.NOT_ALLOWED, "Two people have to agree to that.", "Ask first; somebody else agrees.")
        found.append(erasable(view, asked))
        seqs = found[-1].seqs
        groups = [seqs[start : start + AT_ONCE] for start in range(0, len(seqs), AT_ONCE)]
        return [
            Draft(kind="erased", actor=actor.id, stream="all", data={"seqs": list(group), "because": because})
            for group in groups
        ]

    erase(settings.log_path, decide, clock=utc_now)
    with Log.open(settings.log_path) as log:
        ops = Ops(settings, log)
        months = tuple(one.month for one in mend(ops))
        return Erasure(_some(found[-1], months), None, months, _copies(ops.view, found[-1].seqs))


def _some(found: Erasable, months: Sequence[str] = ()) -> Erasable:
    if not found.seqs and not months:
        why = next(iter(found.kept.values()), "it was erased before")
        raise OpsError(
            Reason.NOT_ALLOWED, f"Nothing of that can be erased: {why}.", "`--dry-run` tells more.", exit_code=3
        )
    return found


def _agreed(view: View, wanted: Wanted, actor: Actor) -> Wanted:
    asked = next(iter(view.find(Query(after_seq=wanted.agree - 1, before_seq=wanted.agree + 1))), None)
    if asked is None or asked.kind != "erasure_asked" or asked.data is None:
        raise OpsError(Reason.BAD_USAGE, f"Event {wanted.agree} asks for no erasure.", "Name the event that does.")
    if asked.actor == actor.id:
        raise OpsError(
            Reason.SELF_APPROVAL, "Whoever asked for it cannot agree to it.", "Somebody else has to.", exit_code=3
        )
    return Wanted(seqs=asked.data["seqs"])


def _copies(view: View, seqs: Sequence[int]) -> tuple[str, ...]:
    """Where the log says that copies were put which can hold these events."""
    first = min(seqs, default=0)
    made = view.find(Query(kinds=("archived", "archive_restored", "backed_up"), after_seq=first))
    places = [str(one.data[name]) for one in made if one.data for name in ("file", "folder") if name in one.data]
    return tuple(one for one in dict.fromkeys(places) if Path(one).exists())
