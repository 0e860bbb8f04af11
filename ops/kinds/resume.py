"""Going on where a run ended half-way: only the statements that are not on the target yet, as a request of its own."""

from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import psycopg

from ops.apply_indexes import invalid_indexes
from ops.apply_recovery import inspect_after_crash
from ops.apply_statements import Index
from ops.apply_statements import meaning
from ops.coming_after import check_after
from ops.database import Connection
from ops.database import connect
from ops.database import target_failed
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import read_fingerprint
from ops.half_done import HALF
from ops.half_done import worked_on
from ops.history import HistoryRow
from ops.history import read_history
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.migration import Effect
from ops.migration import Migration
from ops.partial import NOT_SENT
from ops.partial import Ran
from ops.partial import last_intent
from ops.partial import statements_of
from ops.people import Actor
from ops.plan_refusals import not_rehearsed
from ops.policy import refused
from ops.proposing import Proposal
from ops.proposing import people_of
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.proposing import what_changed_since
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsing import Trial
from ops.rehearsing import Tried
from ops.rehearsing import try_files
from ops.repository import Author
from ops.requests import Request
from ops.requests import find_request
from ops.requests import requests_about
from ops.requests import undone_by
from ops.scripts import Script
from ops.scripts import scripts_in
from ops.scripts import scripts_of
from ops.scripts import what_runs
from ops.status import Status
from ops.steps import FUNCTION_STEPS
from ops.steps import STEPS
from ops.supabase.function_after import check_functions_after
from ops.supabase.function_plan import hazards_of_functions
from ops.supabase.function_resume import check_not_overtaken
from ops.supabase.function_resume import functions_left
from ops.supabase.function_resume import functions_moved
from ops.supabase.function_resume import slugs_left
from ops.supabase.function_resume import wrote_since
from ops.targets import Target

KINDS = frozenset({"push", "resume", "rollback"})
"""The kinds of requests that can be gone on with: those that run SQL of files."""

_NOTHING_DONE = frozenset({Status.FAILED, Status.SUPERSEDED})


@dataclass(frozen=True)
class Left:
    """What is left of a request: its scripts, the first of which may be half done, and why that much is known."""

    scripts: tuple[Script, ...]
    found: tuple[str, ...]
    said: int | None = None
    """So many first statements are there by somebody's word; None: by the log and the target."""
    claimed: bool = False
    """Somebody's word says that more is there than the log has for certain."""


def request_resume(
    ops: Ops,
    of: Request,
    actor: Actor,
    act: str,
    *,
    commit: str | None = None,
    done: int | None = None,
    progress: Progress = lambda _: None,
) -> Request:
    """Ask to run what is left of a request that ended half-way. `commit`: with the files as they are there, where what ran
    of the half one is unchanged. `done`: so many of its first statements are there, as a person found.

    Raises OpsError: NOT_ALLOWED where nothing is to be gone on with, or what is on the target is not certain; what a
    rehearsal, reading and `propose` raise.
    """
    target = ops.target_of(of)
    may_request_now(ops, target, actor).or_raise()
    may_be_resumed(ops, of)
    progress(f"looking at {target.name}")
    with closing(connect(target.database_url(), purpose=f"resume {of.id}")) as connection:
        try:
            rows = read_history(connection)
            _check_history(of, rows)
            left = _left(ops, of, connection, done, actor)
            fingerprint = read_fingerprint(connection, project_ref=target.settings.project_ref, history=rows)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    if commit is not None:
        left, commit = _as_at(ops, of, target, left, commit)
    proposal = _proposal(ops, of, target, left, commit or of.commit, fingerprint)
    check_after(ops, target, [one for one in proposal.migrations if one.effect is Effect.ADDS])
    check_functions_after(ops.view, target, proposal.functions)
    if not proposal.scripts and not proposal.functions:
        raise NothingToDoError(
            f"All of {of.id} is there by now.", f"See what a push would run: `plan {of.environment}`."
        )
    return propose(ops, _tried(ops, proposal, actor, progress), actor, act)


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """As for other scripts; and what is left by now, which rows may tell alone: the log and the target are asked again."""
    changed = what_changed_since(ops, request, progress) or functions_moved(request, ops.target_of(request))
    if changed:
        return changed
    of = find_request(ops.view, request.of or "")
    target = ops.target_of(request)
    try:
        may_be_resumed(ops, of, asked_by=request)
        with closing(connect(target.database_url(), purpose=f"look at {request.id}")) as connection:
            left = _left(ops, of, connection, request.plan["facts"]["done"], request.by)
    except psycopg.Error as error:
        raise target_failed(target.name, error) from error
    except OpsError as error:
        if error.reason is not Reason.NOT_ALLOWED:
            raise
        return [f"what is left of {of.id} ({error.message.rstrip('.')})"]
    asked, now = ([(one.version, one.done) for one in found] for found in (scripts_in(request.plan), left.scripts))
    return [] if asked == now else [f"what is left of {of.id}"]


def may_be_resumed(ops: Ops, of: Request, asked_by: Request | None = None) -> None:
    """Raise OpsError(NOT_ALLOWED) unless the request ended with something left, and nobody worked on that since, but
    perhaps the request that asks."""
    look = f"See `show {of.id}`."
    if of.kind not in KINDS:
        refused(
            Reason.NOT_ALLOWED, f"{of.id} is no push, so it is not gone on with: ask for it again.", look
        ).or_raise()
    if of.status is Status.INTERRUPTED and of.settlement is None:
        refused(
            Reason.NOT_ALLOWED,
            f"{of.id} was interrupted, and nobody has said yet what became of it.",
            f"Look at the target as its card says, then `cancel {of.id} <what you found>`.",
        ).or_raise()
    if of.status not in {Status.PARTIALLY_APPLIED, Status.INTERRUPTED} or not (
        _versions_left(of) or slugs_left(ops.view, of)
    ):
        ended = {Status.SUCCEEDED: "is done", Status.FAILED: "failed", Status.PARTIALLY_APPLIED: "has ended"}
        words = ended.get(of.status, f"is {of.status.value}")
        why = f"{of.id} {words}, and nothing of it is left to be run" if of.is_over else f"{of.id} {words}"
        again = f"To ask for the same again: `push {of.environment}`." if of.status is Status.FAILED else look
        refused(Reason.NOT_ALLOWED, f"{why}.", again).or_raise()
    undone = undone_by(ops.view, of)
    if undone is not None:
        again = f"To ask for the same again: `push {of.environment}`."
        refused(Reason.NOT_ALLOWED, f"{undone.id} took back what {of.id} left.", again).or_raise()
    asker = {asked_by.id} if asked_by is not None else set()
    resumes = (one for one in requests_about(ops.view, of) if one.kind == "resume" and one.started_at)
    later = next((one for one in resumes if one.id not in asker and one.status not in _NOTHING_DONE), None)
    if later is not None:
        refused(
            Reason.NOT_ALLOWED,
            f"{later.id} went on with {of.id} already.",
            f"See `show {later.id}`; what that left can be gone on with by `resume {later.id}`.",
        ).or_raise()

    ending = next(one for one in reversed(ops.view.events(stream=of.stream)) if one.kind in HALF)
    if asked_by is None:
        check_not_overtaken(ops.view, of, slugs_left(ops.view, of), ending.seq)
    worked = worked_on(ops.view, of, _versions_left(of), after_seq=ending.seq, but=asker)
    if worked is not None:
        refused(
            Reason.NOT_ALLOWED,
            f"{worked.request} worked on files that {of.id} left, so what is left of them is not for {of.id} to say.",
            f"See `show {worked.request}`, and what is pending now with `plan {of.environment}`.",
        ).or_raise()


def _versions_left(of: Request) -> list[str]:
    there = set(of.settlement.versions) if of.settlement is not None else set(of.applied)
    return [str(one["version"]) for one in of.files if one["version"] not in there]


def _check_history(of: Request, rows: Sequence[HistoryRow]) -> None:
    """Raise OpsError(PLAN_CHANGED) unless the history holds what the log says that the request did to it."""
    there = {row.version for row in rows}
    left = set(_versions_left(of))
    removes = {one.version for one in scripts_in(of.plan) if one.effect is Effect.REMOVES}
    odd = [
        version
        for version in (str(one["version"]) for one in of.files)
        if (version in there) == ((version in left) != (version in removes))
    ]
    if odd:
        raise OpsError(
            Reason.PLAN_CHANGED,
            f"The history of {of.target} is not what {of.id} left: {', '.join(odd)} was added or taken out since.",
            f"Look with `plan {of.environment}` what is pending now.",
            exit_code=3,
        )


def _left(ops: Ops, of: Request, connection: Connection, said: int | None, actor: Actor) -> Left:
    """The scripts that are left, the first without what is on the target of it already."""
    versions = _versions_left(of)
    if not versions:
        return Left((), ())
    scripts = scripts_in(of.plan) or tuple(map(_file_script, of.files))
    left = [one for one in scripts if one.version in versions]
    migration = next(one for one in scripts_of(ops, of) if one.version == left[0].version)
    events = ops.view.events(stream=of.stream)
    ran = statements_of(events, migration)
    known = next((one.index for one in ran if not one.is_done), len(ran))
    if said is not None:
        if said > len(ran):
            raise OpsError(
                Reason.BAD_USAGE, f"--done takes a number up to {len(ran)}: {migration.filename} has no more."
            )
        count = f"the first {said} of {len(ran)} statements" if said else f"none of the {len(ran)} statements"
        found = f"{actor.id} says that {count} of {migration.filename} {'are' if said else 'is'} there"
        found += f", where the log has {known} for certain." if said < known else "."
        return Left((replace(left[0], done=said), *left[1:]), (found,), said, claimed=said > known)
    intent = last_intent(events, migration.version)
    done = known
    for one in ran[known:]:
        outcome = one.outcome
        if outcome == "unknown" and intent is not None:
            outcome = inspect_after_crash(connection, migration, intent[0], commit_xid=intent[1]).outcome.value
        if outcome != "done":
            _check_nothing_remains(of, migration, one, outcome, connection)
            break
        done += 1
    found = f"{done} of {len(ran)} statements of {migration.filename} are on {of.target}, by the log."
    return Left((replace(left[0], done=done), *left[1:]), (found,) if done else ())


def _file_script(file: Mapping[str, Any]) -> Script:
    name = str(file["filename"])
    return Script(
        str(file["version"]),
        str(file["name"]),
        name,
        Effect.ADDS,
        path=f"migrations/{name}",
        sha256=str(file["sha256"]),
    )


def _check_nothing_remains(of: Request, migration: Migration, ran: Ran, outcome: str, connection: Connection) -> None:
    """Raise OpsError(NOT_ALLOWED) unless it is certain that this statement may be sent (again)."""
    if outcome in {NOT_SENT, "rolled_back"} or (outcome == "failed" and migration.batches is not None):
        return  # a file in batches goes on behind its last one by itself
    means = meaning(migration.statements[ran.index])
    touched: list[Index] = [Index(None, means.builds.table, None)] if means.builds is not None else []
    touched += [means.rebuilds] if means.rebuilds is not None else []
    touched += means.drops
    invalid = sorted({name for index in touched for name in invalid_indexes(connection, index)})
    where = f"Statement {ran.index + 1} of {migration.filename} (line {ran.line})"
    if invalid:
        refused(
            Reason.NOT_ALLOWED,
            f"{where} left {', '.join(invalid)} INVALID, so it cannot be run again yet.",
            f"Ask for `clean up {of.id}` first.",
        ).or_raise()
    if outcome == "failed" and (touched or means.waits_quietly or means.detaches):
        return  # what it works on is whole again, and to do it twice is to do it once
    refused(
        Reason.NOT_ALLOWED,
        f"{where} ran outside a transaction and {'failed' if outcome == 'failed' else 'is unknown'}: what of it is there is "
        "not for the log to say.",
        f"Look at {of.target}, then say how many of the file's first statements are there: "
        f"`resume {of.id} --done {ran.index}` or {ran.index + 1}.",
    ).or_raise()


def _as_at(ops: Ops, of: Request, target: Target, left: Left, commit: str) -> tuple[Left, str]:
    """The same scripts with the bytes that they have at this commit of the branch; what ran must be unchanged there."""
    repository = ops.repository(target)
    repository.update()
    sha = repository.resolve(target.settings.branch, commit)
    contents = repository.snapshot(sha).files
    before = {one.version: one for one in scripts_of(ops, of)}
    scripts = []
    for script in left.scripts:
        if not script.path or script.path not in contents:
            refused(
                Reason.NOT_ALLOWED,
                f"{script.filename} is not a file of {sha[:12]}, so {of.id} cannot be gone on with as it is there.",
            ).or_raise()
        again = replace(script, sha256="0", done=0).migration(contents[script.path])
        ran = [one.text for one in before[script.version].statements[: script.done]]
        if [one.text for one in again.statements[: script.done]] != ran:
            refused(
                Reason.NOT_ALLOWED,
                f"At {sha[:12]} the first {script.done} statements of {script.filename} are not those that ran.",
                "Leave what ran as it was, and change only what comes behind it.",
            ).or_raise()
        scripts.append(replace(script, sha256=again.sha256))
    return replace(left, scripts=tuple(scripts)), sha


def _proposal(ops: Ops, of: Request, target: Target, left: Left, commit: str, fingerprint: Fingerprint) -> Proposal:
    """What is asked for, before anybody has tried it."""
    migrations = read_scripts_of(ops, target, commit, left.scripts)
    functions = functions_left(ops, of, target, commit)
    wrote = wrote_since(ops, target, of.commit, commit, functions.changes)
    authors, unknown = _authors(ops, of, commit, migrations, wrote)
    steps = STEPS if left.scripts else tuple(one for one in STEPS if one != "migrate")
    return Proposal(
        kind="resume",
        target=target,
        title=f"resume {of.id} on",
        commit=commit,
        fingerprint=fingerprint,
        of=of.id,
        scripts=left.scripts,
        migrations=migrations,
        does=(*left.found, *map(what_runs, migrations), *functions.does),
        proven=("Nothing: it was not tried on a copy, as the policy says.",) if left.scripts else (),
        # What stands on a word stays one, however often it is gone on with.
        facts={"done": left.said, "claimed": left.claimed or bool((of.plan.get("facts") or {}).get("claimed"))},
        authors=tuple(authors),
        unknown_authors=tuple(unknown),
        functions=functions.changes,
        more_hazards=hazards_of_functions(target, functions.changes),
        steps=(*steps[:-1], *FUNCTION_STEPS, steps[-1]) if functions.changes else steps,
    )


def _authors(
    ops: Ops, of: Request, commit: str, migrations: Sequence[Migration], wrote: tuple[Author, ...]
) -> tuple[list[str], list[str]]:
    """Who wrote what is run, known and unknown: the request's own authors, who changed its files since, and `wrote`."""
    since = wrote
    if commit != of.commit:
        paths = [f"migrations/{one.filename}" for one in migrations]
        since += ops.repository(ops.target_of(of)).authors(commit, of.commit, paths)
    known, unknown = people_of(ops, since)
    return sorted({*of.authors, *known}), sorted({*of.unknown_authors, *unknown})


def _tried(ops: Ops, proposal: Proposal, actor: Actor, progress: Progress) -> Proposal:
    """The same, run on a copy of the target as it is now, where its policy has that done. Raises OpsError where it failed
    or could not be done, and the policy requires it."""
    target = proposal.target
    if target.settings.rehearsal_level == "off" or not proposal.migrations:
        return proposal

    def shown_in(tried: Tried) -> Proposal:
        expected = {one["version"]: one["catalog_sha256"] for one in tried.shown.expected() or ()}
        return replace(proposal, tried=tried, proven=(_proof(tried.shown, target),), expected=expected or None)

    trial = Trial(
        target,
        proposal.commit,
        proposal.migrations,
        proposal.hazards_read,
        target.settings.with_data,
        basis=proposal.digest,
        digest=lambda tried: shown_in(tried).digest,
    )
    found = shown_in(try_files(ops, trial, actor, progress))
    problem = not_rehearsed(found.tried.shown if found.tried else None, target.settings.policy(), target.name)
    if problem is not None:
        raise problem
    return found


def _proof(shown: Rehearsal, target: Target) -> str:
    if shown.outcome is not Outcome.PASSED:
        return f"Nothing: it {shown.outcome.value} on a copy of {target.name}. {shown.because}".strip()
    count = sum(one.ran for one in shown.files)
    ran = "1 statement" if count == 1 else f"{count} statements"
    return f"On a copy of {target.name} as it is now, {ran} ran without an error."


KIND = Kind(what_changed=what_changed)
