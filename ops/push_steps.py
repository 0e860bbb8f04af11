"""The steps of a push: preflight, backup, migrate, health. Each raises OpsError when the run must end there."""

from collections.abc import Callable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from ops.apply import apply_migration
from ops.apply import finish_migration
from ops.apply_journal import Patience
from ops.apply_session import Sessions
from ops.as_rehearsed import AsRehearsed
from ops.asking_again import hint_after_change
from ops.backup import BackupProof
from ops.backup import Level
from ops.backup_taking import take_of
from ops.backups import tidy_up
from ops.batch_pace import Pace
from ops.database import Connection
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import read_fingerprint
from ops.guard import Guard
from ops.health import baseline_of
from ops.health import check_health
from ops.health import worse_than
from ops.health_checked import Checked
from ops.history import ensure_history
from ops.history import has_history
from ops.history import read_versions
from ops.history import versions_after
from ops.journal import LogJournal
from ops.migration import ADDING
from ops.migration import Effect
from ops.migrations import Migration
from ops.plan_parts import changed_parts
from ops.prior.copies import PriorCopies
from ops.progress import Told
from ops.recheck import what_changed
from ops.recovery import Standing
from ops.rehearsing import isolation_unmet
from ops.requests import Request
from ops.requests import find_request
from ops.scripts import scripts_of
from ops.steps import Recorder
from ops.supabase.advisors import note_advisors
from ops.supabase.managed_backups import covered
from ops.targets import Target
from ops.watch import begin_watch
from ops.watch import note_load


def connector(target: Target, purpose: str) -> Callable[[], Connection]:
    """Opens sessions on a target; the secret is looked up each time and kept nowhere."""
    return lambda: connect(target.database_url(), purpose=purpose)


@dataclass(frozen=True)
class Ready:
    """What preflight found: the files to run, the versions on the target, the baseline of the checks, and after a crash
    the version of a file that lacks nothing but its history row."""

    pending: tuple[Migration, ...]
    versions: tuple[str, ...]
    before: tuple[Checked, ...]
    row_missing: str | None


ChangedFirst = Callable[[Connection], list[str]]
"""What is no longer as people were told, in words, asked in the transaction of the first statement before it is sent."""


def run_scripts(
    recorder: Recorder,
    target: Target,
    guard: Guard | None,
    standing: Standing | None,
    changed_first: ChangedFirst | None = None,
) -> None:
    """All steps of a request that runs files or scripts, one after the other."""
    if guard is None:
        raise ValueError(recorder.request.kind)
    ready = preflight(recorder, target, standing)
    backup(recorder, target, guard)
    if recorder.request.files:
        migrate(recorder, target, guard, ready, changed_first)
    behind(recorder, target, ready.before)


def behind(recorder: Recorder, target: Target, before: Sequence[Checked]) -> None:
    """The steps behind the last statement: functions and secrets where the plan has some, health, the watch.

    Once everything is deployed, what one step finds failing keeps no later one from its look, for there is no other run
    that would make up for it. Raises OpsError with all that was found.
    """
    looks: list[Callable[[], None]] = [
        partial(health, recorder, target, before),
        partial(begin_watch, recorder, target),
    ]
    if not recorder.request.plan.get("functions"):
        for look in looks:
            look()
        return
    from ops.supabase.function_steps import function_steps  # what speaks to Supabase; most plans have no functions

    deploy, *others = function_steps(recorder, target)
    found: list[OpsError] = []
    for step in (deploy, *others, *looks):
        try:
            step()
        except OpsError as error:
            if step is deploy and error.reason is not Reason.HEALTH_FAILED:
                raise
            found.append(error)
    if len(found) == 1:
        raise found[0]
    if found:
        reason = Reason.HEALTH_FAILED if any(one.reason is Reason.HEALTH_FAILED for one in found) else found[0].reason
        details = {key: value for one in found for key, value in one.details.items()}
        hint = " ".join(one.hint for one in found if one.hint)
        raise OpsError(reason, " ".join(one.message for one in found), hint, exit_code=1, details=details)


def preflight(recorder: Recorder, target: Target, standing: Standing | None) -> Ready:
    """The digest again, under the guard, before anything else; then the baseline of the health checks."""
    request = recorder.request
    with closing(connect(target.database_url(), purpose=f"preflight {request.id}")) as connection:
        # Said before it is done: a target that was never pushed to gets its history table, as the CLI makes it.
        makes = [] if has_history(connection) else ["supabase_migrations.schema_migrations"]
        with recorder.step("preflight", {"digest": request.digest, "makes": makes}) as result:
            if standing is None:
                _check_same(request, what_changed(recorder.ops, request, recorder.progress))
            pending = scripts_of(recorder.ops, request)
            if ensure_history(connection):
                recorder.record("history_prepared", {"schema_name": "supabase_migrations"})
            versions = read_versions(connection)
            before = baseline_of(recorder.ops.view.events(stream=request.stream)) or check_health(target)
            result["health"] = [check.to_json() for check in before]
            note_load(recorder, target, connection)
            bad = [check.name for check in before if not check.ok]
            said = "exactly the plan that was asked for" if standing is None else "taken up where it stood"
            result["said"] = said + (f"; already failing: {', '.join(bad)}" if bad else "")
    return Ready(pending, versions, before, standing.row_missing if standing else None)


def _check_same(request: Request, changed: list[str]) -> None:
    """Raises OpsError(PLAN_CHANGED) with the parts that are others now, in words and in `details["changed"]`."""
    if changed:
        raise OpsError(
            Reason.PLAN_CHANGED,
            f"Since {request.id} was made, this changed: {', '.join(changed)}. Nothing was run.",
            hint_after_change(request, changed),
            exit_code=3,
            details={"changed": changed},
        )


def backup(recorder: Recorder, target: Target, guard: Guard) -> None:
    """A proven backup before the first statement, or no statement at all. One that this request has proven stands."""
    request = find_request(recorder.ops.view, recorder.request.id)
    level = Level(request.plan["policy"]["backup"])
    if request.proof is not None and any(step.name == "backup" and step.outcome == "done" for step in request.steps):
        return
    with recorder.step("backup", {"level": level.value}) as result, covered(recorder, target, result):
        if request.proof is not None:
            result["said"] = f"{level.value} and proven before this run was interrupted"
            return
        if level is Level.NONE:
            result["said"] = "none, as the policy says"
            return
        unmet = isolation_unmet(target) if level in {Level.RESTORED, Level.IDENTICAL} else ""
        if unmet:
            raise OpsError(
                Reason.BACKUP_NOT_PROVEN,
                f"The backup cannot be restored as it has to be: {unmet} Nothing was run.",
                "`countersign doctor` says what is reached and why.",
                exit_code=1,
            )
        proof = _take_backup(recorder, target, level)
        if not proof.proven:
            raise OpsError(
                Reason.BACKUP_NOT_PROVEN,
                f"The backup of {target.name} is not proven {level.value}: {'; '.join(proof.problems[:5])}. "
                "Nothing was run.",
                "Mend what stands there, then ask again.",
                exit_code=1,
                details={"problems": list(proof.problems)},
            )
        result["said"] = f"{level.value} and proven"
        recorder.record("backup_proven", {"proof": proof.to_json()})
        tidy_up(recorder.ops)
        guard.check()


def _take_backup(recorder: Recorder, target: Target, level: Level) -> BackupProof:
    request = recorder.request
    try:
        return take_of(
            recorder.ops,
            target,
            level,
            label=f"{request.project}-{request.environment}-{request.id}",
            progress=lambda words, share: recorder.progress(Told(f"backup: {words}", step="backup", share=share)),
            stop=recorder.stop,
        )
    except OpsError as error:
        if error.reason is not Reason.STOPPED:
            raise
        message = f"{request.id} was stopped in the backup, before the first statement. Nothing was run."
        raise OpsError(Reason.STOPPED, message, exit_code=1) from error


def migrate(
    recorder: Recorder, target: Target, guard: Guard, ready: Ready, changed_first: ChangedFirst | None = None
) -> None:
    """Each file in a session of its own, in order; what is already there (after a crash) is passed over."""
    settings = target.settings
    timeout = settings.statement_timeout
    patience = Patience(
        seconds=settings.lock_patience.total_seconds(),
        longest_lock_timeout_seconds=settings.lock_timeout.total_seconds(),
        statement_timeout_seconds=timeout.total_seconds() if timeout else None,
        pace=Pace(
            lag_seconds=settings.standby_lag.total_seconds() or None, lag_bytes=settings.standby_lag_bytes or None
        ),
    )
    request = find_request(recorder.ops.view, recorder.request.id)
    left = [migration for migration in ready.pending if migration.version not in request.applied]
    versions = ready.versions
    about = {"files": len(ready.pending), "left": len(left)}
    with recorder.step("migrate", about) as result, closing(Sessions()) as sessions, _Ahead(target, request) as ahead:
        check_first = None
        if not request.applied and ready.row_missing is None:
            looking = ahead.open()
            _check_state(request, target, looking)
            if changed_first is not None:
                check_first = partial(_check_first, request, changed_first)
                if not (left[0].segments and left[0].segments[0].transactional):
                    check_first(looking)
        as_rehearsed = AsRehearsed(request)
        copies = PriorCopies(recorder, target, left)
        followings = [*left[1:], None]
        for number, migration in enumerate(left, len(request.applied) + 1):
            if recorder.stop():
                raise _stopped_before(request, migration, number)
            words = f"migrate: {number} of {len(ready.pending)}, {migration.filename}"
            recorder.progress(Told(words, step="migrate", share=(number - 1) / len(ready.pending)))
            apply = (
                finish_migration
                if migration.version == ready.row_missing
                else partial(
                    apply_migration,
                    sessions=sessions,
                    following=followings[number - len(request.applied) - 1],
                    check_catalog=as_rehearsed.before_commit(migration),
                    check_first=check_first if migration is left[0] else None,
                    carry_out=copies.around(migration),
                )
            )
            applied = apply(
                migration,
                connect=ahead.take,
                guard=guard,
                patience=patience,
                journal=LogJournal(recorder, migration),
                stop=recorder.stop,
                expect_history=versions,
            )
            versions = versions_after(versions, migration)
            as_rehearsed.behind(migration, applied.catalog_sha256)
        result["applied"] = [one.version for one in left if one.effect in ADDING]
        if removed := [one.version for one in left if one.effect is Effect.REMOVES]:
            result["removed"] = removed
        if as_rehearsed.differing:
            result["differs"] = as_rehearsed.differing
            result["said"] = as_rehearsed.said()


def _stopped_before(request: Request, migration: Migration, number: int) -> OpsError:
    stays = f"The {number - 1} before it stay applied." if number > 2 else "The one before it stays applied."
    return OpsError(
        Reason.STOPPED,
        f"{request.id} was stopped before {migration.filename}, file {number} of {len(request.files)}. "
        f"{stays if number > 1 else 'Nothing was run.'}",
        f"What is left can be asked for again: `push {request.environment}`.",
        exit_code=1,
    )


class _Ahead:
    """The sessions of the files that run, the first of which can be opened ahead, to look at the target in it."""

    def __init__(self, target: Target, request: Request) -> None:
        self._connect = connector(target, f"migrate {request.id}")
        self._open: Connection | None = None

    def open(self) -> Connection:
        """The session that `take` gives next. Only to be read in: it is a file's, and like new."""
        self._open = self._connect()
        return self._open

    def take(self) -> Connection:
        """That session, or a new one. It is the caller's to close."""
        taken, self._open = self._open, None
        return taken or self._connect()

    def __enter__(self) -> "_Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()


def _check_state(request: Request, target: Target, connection: Connection) -> None:
    """The target's state once more, for the backup may have taken long: the last look before the first statement."""
    now = read_fingerprint(connection, project_ref=target.settings.project_ref).to_json()
    _check_same(request, changed_parts(request.plan, {**request.plan, "fingerprint": now}))


def _check_first(request: Request, changed_first: ChangedFirst, connection: Connection) -> None:
    _check_same(request, changed_first(connection))


def _backup_words(recorder: Recorder) -> str:
    proof = find_request(recorder.ops.view, recorder.request.id).proof
    return "The backup from before this run is proven." if proof else "This run took no backup."


def health(recorder: Recorder, target: Target, before: Sequence[Checked]) -> None:
    """The same checks again; one that held before and does not now ends the run as it must be told: half-way."""
    with recorder.step("health") as result:
        after = check_health(target)
        result["health"] = [check.to_json() for check in after]
        advice = note_advisors(recorder, target)
        worse = worse_than(before, after)
        if worse:
            words = "; ".join(f"{check.name} ({check.detail})" for check in worse)
            raise OpsError(
                Reason.HEALTH_FAILED,
                f"Every migration is on {target.name}, but what held before does not hold now: {words}.",
                f"Look at the application. {_backup_words(recorder)}",
                exit_code=1,
                details={"health": [check.to_json() for check in after]},
            )
        result["said"] = _checks_text(sum(1 for check in after if check.ok), len(after)) + advice


def _checks_text(held: int, count: int) -> str:
    if not count:
        return "no checks are configured"
    if count == 1:
        return "the check holds" if held else "the check does not hold"
    if held == count:
        return f"all {count} checks hold"
    return f"{held} of {count} checks {'holds' if held == 1 else 'hold'}"
