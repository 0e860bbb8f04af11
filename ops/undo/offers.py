"""The ways in which a request can be undone, each shown on a copy of its target before it is offered."""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ops.drift import drift_of
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.migration import Migration
from ops.people import Actor
from ops.progress import Told
from ops.proposing import Proposal
from ops.proposing import people_of
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.repository import Author
from ops.requests import Request
from ops.requests import find_request
from ops.schema.deriving import SESSION
from ops.schema.naming import words_of
from ops.scripts import Script
from ops.supabase.function_standing import functions_that_stay
from ops.undo.base import Base
from ops.undo.base import base_of
from ops.undo.contents import counted
from ops.undo.contents import named
from ops.undo.inverse import check_rows_were_there
from ops.undo.inverse import derived_scripts
from ops.undo.judging import Judging
from ops.undo.losses import loss_facts
from ops.undo.offer import Offer
from ops.undo.offer import Way
from ops.undo.past import Past
from ops.undo.past import look_back
from ops.undo.proving import NotProvenError
from ops.undo.proving import Shown
from ops.undo.proving import prove
from ops.undo.reverse_scripts import find_scripts
from ops.undo.writes import what_is_not_brought_back
from ops.undo_data import data_ways

TITLES = {
    Way.NOTHING: "there is nothing to undo",
    Way.SCRIPT: "the repository's own reverse scripts",
    Way.INVERSE: "statements derived from the schema before and after",
}
_NAMED = 5


def offers(
    ops: Ops, request: Request, actor: Actor, progress: Progress = lambda _: None, *, only: Way | None = None
) -> tuple[Offer, ...]:
    """The ways to undo a request, in the order in which they should be thought of; `only` looks for that one alone.

    Empty where it deployed functions alone, which are put back one by one. Reads the target, changes nothing there. Raises
    OpsError: NOT_ALLOWED for who may not request there, and for what cannot be undone as it stands (see `look_back`); what
    reading and copying raise.
    """
    target = ops.target_of(request)
    may_request_now(ops, target, actor).or_raise()
    tell = _teller(progress)

    def work() -> tuple[Offer, ...]:
        tell(f"looking at {target.name}")
        past = look_back(ops, request, actor)
        if not any(one.files for one in past.chain) and functions_that_stay(ops.view, past.chain):
            return ()  # no statement of it ran, so the database says nothing of what it did
        nothing = _nothing(ops, past, actor, tell)
        if nothing is not None:
            return (nothing,)
        looking = _Looking(ops, past, tell)
        ways: dict[Way, Callable[[], Offer]] = {Way.SCRIPT: looking.script, Way.INVERSE: looking.inverse}
        ways |= data_ways(ops, past, tell)
        return tuple(look() for way, look in ways.items() if only in (None, way))

    key = f"undo {request.id} {only.value if only else 'any way'}"
    return ops.rehearsals.shared(key, lambda: tell("waits for another one"), work)


def request_undo(
    ops: Ops, request: Request, way: Way, actor: Actor, act: str, progress: Progress = lambda _: None
) -> Request:
    """Ask to undo a request in this way. The same act asked again finds its request.

    Raises OpsError NOT_ALLOWED where the way is not proven, and what `offers` and `propose` raise.
    """
    earlier = ops.view.act(f"{act}:requested")
    if earlier:
        return find_request(ops.view, earlier[0].request or "")
    found = offers(ops, request, actor, progress, only=way)
    offer = next((one for one in found if one.proposal is not None), None)
    if offer is None or offer.proposal is None:
        because = found[0].because if found else "It ran no statement: it deployed functions alone."
        raise OpsError(
            Reason.NOT_ALLOWED,
            f"{request.id} cannot be undone in this way ({way.value}). {because}",
            f"See which ways there are: `rollback {request.id}`.",
            exit_code=3,
        )
    return propose(ops, offer.proposal, actor, act)


def _nothing(ops: Ops, past: Past, actor: Actor, tell: Progress) -> Offer | None:
    """That nothing of it is on the target, and how that is known; None where something is."""
    if past.rows or past.half is not None:
        return None
    number, target = past.request.id, past.target.name
    if past.is_as_before:
        proof = (
            f"The schema of {target} has the very hash that {number} found before its first file ({past.base_sha256[:16]}).",
            "The history holds none of its files, and no other row than before.",
        )
        return Offer(Way.NOTHING, TITLES[Way.NOTHING], proof=proof, because=f"Nothing of {number} is on {target}.")
    tell("comparing the schema with what the history makes")
    gone = f"No row of the history of {target} is {number}'s any more"
    try:
        drift = drift_of(ops, past.target, actor, tell)
    except OpsError as error:
        if error.reason is not Reason.HISTORY_NOT_REPLAYED:
            raise
        because = f"{gone}; whether the schema holds something of it cannot be said. {error.message}"
        return Offer(Way.NOTHING, "its rows are gone", because=because)
    if drift.differences:
        names = [words_of(one.object) for one in drift.differences[:_NAMED]]
        because = f"{gone}, but the schema is not what the history makes: {', '.join(names)}. See `drift`."
        return Offer(Way.NOTHING, "its rows are gone", because=because)
    proof = (f"{gone}.", f"Replayed on a copy, the history makes exactly the schema of {target}.")
    return Offer(Way.NOTHING, TITLES[Way.NOTHING], proof=proof, because=f"Nothing of {number} is on {target}.")


@dataclass(frozen=True)
class _Looking:
    """Looking for ways to undo what stands. The earlier schema is worked out once, when it is first asked for."""

    ops: Ops
    past: Past
    tell: Progress

    @cached_property
    def base(self) -> Base:
        return base_of(self.ops, self.past, self.tell)

    def script(self) -> Offer:
        """By the repository's own scripts: people wrote them, so what they do to rows is told, not judged."""
        try:
            if self.past.half is not None:
                raise NotProvenError("A file of it ran in part, and no script of the repository is for a part.")
            found = find_scripts(self.ops, self.past)
            migrations = read_scripts_of(self.ops, self.past.target, found.commit, found.scripts)
            shown = self._prove(migrations, commit=found.commit)
        except NotProvenError as error:
            return self._closed(Way.SCRIPT, str(error))
        said = [f"The rows of {named(table)} are changed by it." for table in shown.changed]
        said += [
            f"Table {named(table)} comes back with the rows that it gives it, if any."
            for table in shown.comes_back.tables
        ]
        said += [
            f"Column {named(*one)} comes back with what it puts there, not with what was there before {self.past.request.id}."
            for one in shown.comes_back.columns
        ]
        lasting = what_is_not_brought_back(self.past.files, shown.before, shown.columns)
        if lasting and not shown.comes_back:
            said.append(f"That it takes this back was not seen: {lasting}")
        return self._open(Way.SCRIPT, found.commit, found.scripts, migrations, shown, said, found.authors)

    def inverse(self) -> Offer:
        """By derived statements, offered only where nothing of rows was changed that they do not bring back."""
        past = self.past
        try:
            scripts = derived_scripts(past, self._known_base())
            migrations = read_scripts_of(self.ops, past.target, past.request.commit, scripts)
            shown = self._prove(migrations, Judging(self._ran()))
            if shown.changed:
                tables = ", ".join(named(table) for table in shown.changed[:_NAMED])
                raise NotProvenError(f"On the copy it changed rows that stay: {tables}.")
            check_rows_were_there(shown, scripts)
        except NotProvenError as error:
            return self._closed(Way.INVERSE, str(error))
        return self._open(Way.INVERSE, past.request.commit, scripts, migrations, shown, [], ())

    def _known_base(self) -> Base:
        try:
            return self.base
        except OpsError as error:
            if error.reason is not Reason.HISTORY_NOT_REPLAYED:
                raise
            raise NotProvenError(f"The schema before {self.past.request.id} is not known. {error.message}") from None

    def _ran(self) -> Sequence[Migration]:
        """All files of it that ran, one of them perhaps in part."""
        half = self.past.half_file(self.ops)
        return (*self.past.files, half) if half is not None else self.past.files

    def _prove(self, migrations: Sequence[Migration], judging: Judging | None = None, commit: str = "") -> Shown:
        refused = next((one for one in migrations if one.refusals), None)
        if refused is not None:
            first = refused.refusals[0]
            raise NotProvenError(f"{refused.filename}, line {first.line}: {first.message.rstrip('.')}.")
        if judging is None:
            return prove(self.ops, self.past, migrations, lambda: self.base, self.tell, commit=commit)
        return prove(
            self.ops,
            self.past,
            migrations,
            lambda: self.base,
            self.tell,
            prepare=judging.first,
            check=judging.behind,
        )

    def _closed(self, way: Way, because: str) -> Offer:
        return Offer(way, TITLES[way], because=because)

    def _open(
        self,
        way: Way,
        commit: str,
        scripts: tuple[Script, ...],
        migrations: tuple[Migration, ...],
        shown: Shown,
        said: list[str],
        authors: Sequence[Author],
    ) -> Offer:
        past = self.past
        losses = counted(past.target, shown.lost, shown.columns)
        loses = (*(one.said for one in losses), *said)
        loses = loses or ("No row is lost: nothing goes that holds rows.",)
        does = tuple(_does(past, way, migrations))
        known, unknown = people_of(self.ops, authors)
        versions = [one.version for one in migrations]
        proposal = Proposal(
            kind="rollback",
            target=past.target,
            title=f"undo {past.request.id} on",
            commit=commit,
            fingerprint=past.now,
            of=past.request.id,
            scripts=scripts,
            migrations=migrations,
            does=does,
            loses=loses,
            proven=shown.proof,
            tried=shown.tried,
            facts={"way": way.value, **loss_facts(losses)},
            expected=dict(zip(versions, shown.expected, strict=True)) if shown.expected is not None else None,
            authors=known,
            unknown_authors=unknown,
        )
        return Offer(way, TITLES[way], proposal, does, loses, shown.proof)


def _does(past: Past, way: Way, migrations: Sequence[Migration]) -> list[str]:
    if way is Way.SCRIPT:
        found = [f"It runs {', '.join(one.filename for one in migrations)}."]
    else:
        count = max(sum(len(one.statements) for one in migrations) - len(SESSION), 0)
        runs = (
            f"{count} statement{'' if count == 1 else 's'}" if count else "no statement, since the schema is as before"
        )
        found = [f"It runs {runs}."]
    if past.rows:
        rows = ", ".join(row.version for row in past.rows)
        found.append(
            f"It takes {rows} out of the history, so that {'it' if len(past.rows) == 1 else 'they'} can be planned again."
        )
    if len(past.chain) > 1:
        found.append(
            f"It takes back {' and '.join(one.id for one in reversed(past.chain))}: the last finished what the first began."
        )
    return found


def _teller(progress: Progress) -> Progress:
    def tell(words: str) -> None:
        share = words.share if isinstance(words, Told) else None
        plain = words.removeprefix("rehearsal: ").removeprefix("drift: ")
        progress(Told(f"undo: {plain}", step="undo", share=share))

    return tell
