"""Taking a backup of a target because somebody asked for it: the guard is held, so that no run begins meanwhile."""

from collections.abc import Callable

from audit import Draft
from ops.backup import TRIED
from ops.backup import BackupProof
from ops.backup import Level
from ops.backup import take_backup
from ops.backup_restore import Progress
from ops.backup_restore import Stop
from ops.backups import Backup
from ops.backups import find_backup
from ops.backups import tidy_up
from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.guard import Guard
from ops.layer import Ops
from ops.layer import may_request_now
from ops.occupying import occupant_of
from ops.people import Actor
from ops.progress import Told
from ops.rehearsing import isolation_unmet
from ops.targets import Target


def backup_now(
    ops: Ops, target: Target, actor: Actor, act: str, *, level: Level, progress: Callable[[str], None]
) -> Backup:
    """Take a backup of a target, prove it, and write it down; older ones are removed as `keep` says.

    Raises OpsError: NOT_ALLOWED for who may not ask there, TARGET_BUSY while something runs there, BACKUP_NOT_PROVEN with
    what is wrong, and what `take_backup` raises. Then there is no backup.
    """
    may_request_now(ops, target, actor).or_raise()
    earlier = ops.view.act(f"{act}:proven")
    if earlier and earlier[0].data:
        return find_backup(ops.view, str(earlier[0].data["proof"]["sha256"]))
    _check_free(ops, target)
    unmet = isolation_unmet(target) if level in TRIED else ""
    if unmet:
        hint = "`countersign doctor` says what is reached and why; the level intact needs no server."
        raise OpsError(Reason.BACKUP_NOT_PROVEN, f"It cannot be restored as it has to be: {unmet}", hint, exit_code=1)

    def work() -> Backup:
        with Guard(lambda: connect(target.database_url(), purpose=f"guard of a backup of {target.name}"), target.name):
            _check_free(ops, target)
            ops.log.append([_draft("backup_started", target, actor, {"level": level.value})], id=f"{act}:started")
            proof = take_of(
                ops,
                target,
                level,
                label=f"{target.project}-{target.environment}",
                progress=lambda words, share: progress(Told(words, share=share)),
                stop=ops.rehearsals.is_over,
            )
        check_proven(proof, target)
        ops.log.append([_draft("backup_proven", target, actor, {"proof": proof.to_json()})], id=f"{act}:proven")
        tidy_up(ops)
        return find_backup(ops.view, proof.sha256)

    waiting = Told("waits for another one")
    with ops.rehearsals.turn(f"backup {target.name}", lambda: progress(waiting)):
        return work()


def take_of(ops: Ops, target: Target, level: Level, *, label: str, progress: Progress, stop: Stop) -> BackupProof:
    """A backup of a target as the configuration says: where to, with which programs, sealed for whom."""
    settings = ops.settings
    return take_backup(
        target.database_url(),
        level=level,
        folder=settings.path(settings.backup.path),
        label=label,
        tools_bin=settings.postgres.bin,
        recipients=settings.backup.encrypt,
        progress=progress,
        stop=stop,
    )


def check_proven(proof: BackupProof, target: Target) -> None:
    """Raises OpsError(BACKUP_NOT_PROVEN) that says why it is not."""
    if not proof.proven:
        raise OpsError(
            Reason.BACKUP_NOT_PROVEN,
            f"The backup of {target.name} is not proven {proof.level.value}: {'; '.join(proof.problems[:5])}. "
            "It was removed.",
            "Mend what stands there, then ask again; a lower level asks for less.",
            exit_code=1,
            details={"problems": list(proof.problems)},
        )


def _check_free(ops: Ops, target: Target) -> None:
    """No backup while a run is at work: it would hold every table, and the run's statements would wait for it."""
    occupant = occupant_of(ops.view, target.stream)
    if occupant is not None and not occupant.blocked:
        raise OpsError(
            Reason.TARGET_BUSY,
            f"{occupant.request} is running on {target.name}, and a backup would stand in its way.",
            f"Ask again when it has ended: `show {occupant.request}`.",
            exit_code=5,
        )


def _draft(kind: str, target: Target, actor: Actor, data: dict[str, object]) -> Draft:
    return Draft(
        kind=kind,
        actor=actor.id,
        stream=target.stream,
        data=data,
        project=target.project,
        environment=target.environment,
    )
