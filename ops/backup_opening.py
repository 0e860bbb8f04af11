"""Opening a backup that was taken before: first it is read again and compared with the log, then unsealed if it is sealed."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.backup import check_backup
from ops.backup_files import about_file
from ops.backup_files import checksum
from ops.backup_files import files_of
from ops.backup_files import require_room
from ops.backup_files import work_folder
from ops.backup_restore import Progress
from ops.backup_restore import Stop
from ops.backup_restore import attended
from ops.backups import Backup
from ops.errors import OpsError
from ops.errors import Reason
from ops.sealing import SEALED
from ops.sealing import unseal
from ops.settings import Settings
from ops.settings import resolve_secret
from ops.tools import find_tools


def check_backup_again(
    backup: Backup, settings: Settings, *, progress: Progress = lambda _words, _share: None, stop: Stop = lambda: False
) -> tuple[str, ...]:
    """Read it whole and compare it with what the log says: a sentence for everything that is wrong with it."""
    if backup.is_removed:
        return (f"The backup {backup.id} was removed, since it was older than [backup] keep.",)
    return check_backup(
        backup.path,
        backup.sha256,
        about_sha256=str(backup.proof.get("about_sha256") or ""),
        tools=find_tools(int(backup.proof["server_version"]), settings.postgres.bin),
        progress=progress,
        stop=stop,
    )


@contextmanager
def opened_archive(
    backup: Backup, settings: Settings, *, progress: Progress = lambda _words, _share: None, stop: Stop = lambda: False
) -> Iterator[Path]:
    """A backup as pg_restore takes it, a file or a folder, with the file beside it that tells what it must hold.

    What had to be unsealed is gone when the `with` ends. Raises OpsError: BACKUP_DAMAGED where anything of it is not as the
    log says, BAD_CONFIG where the key is not to be had, BACKUP_NOT_PROVEN where there is no room, STOPPED.
    """
    problems = check_backup_again(backup, settings, progress=progress, stop=stop)
    if problems:
        raise OpsError(
            Reason.BACKUP_DAMAGED,
            f"The backup {backup.id} of {backup.target} cannot be used: {' '.join(problems[:3])}",
            "`backups --check` says which others are as they were taken.",
            exit_code=1,
            details={"problems": list(problems)},
        )
    if not backup.sealed_for:
        yield backup.path
        return
    identity = _identity(backup, settings)
    require_room([(backup.path.parent, int(backup.proof["bytes"]), "unsealing the backup")])
    with work_folder(backup.path.parent) as work:
        plain = work / backup.path.name.removesuffix(SEALED)
        attended(
            lambda: _unseal(backup.path, plain, identity, stop),
            tell=lambda: progress("unsealing the backup", None),
            stop=stop,
        )
        if checksum(plain, stop=stop)[0] != backup.proof["plain_sha256"]:
            message = f"The backup {backup.id} of {backup.target} holds something else than what was proven."
            raise OpsError(Reason.BACKUP_DAMAGED, message, exit_code=1)
        yield plain


def _identity(backup: Backup, settings: Settings) -> str:
    reference = settings.backup.identity
    if reference is None:
        raise OpsError(
            Reason.BAD_CONFIG,
            f"The backup {backup.id} is sealed for {', '.join(backup.sealed_for)}, and [backup] identity names no key.",
            'Put the secret key where only the bot can read it, and name it: identity = "file:PATH".',
        )
    return resolve_secret(reference, folder=settings.folder)


def _unseal(sealed: Path, plain: Path, identity: str, stop: Callable[[], bool]) -> None:
    unseal(about_file(sealed), about_file(plain), identity, stop=stop)
    if not sealed.is_dir():
        unseal(sealed, plain, identity, stop=stop)
        return
    plain.mkdir(mode=0o700)
    for path in files_of(sealed):
        unseal(path, plain / path.name.removesuffix(SEALED), identity, stop=stop)
