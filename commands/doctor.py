"""`countersign doctor`: what is wrong with configuration, log, tokens, repositories, databases, tools and isolation."""

import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from audit import AuditError
from audit import Query
from audit import Reader
from audit import verify
from commands.doctor_signing import signing
from commands.knock import check_log
from commands.page import Listing
from commands.page import Page
from commands.reply import Reply
from ops.amounts import bytes_text
from ops.database import connect
from ops.direct_way import JOB_FILES
from ops.direct_way import Sign
from ops.direct_way import signs_in_database
from ops.direct_way import signs_in_jobs
from ops.direct_way import signs_in_log
from ops.errors import OpsError
from ops.factor_store import check_key
from ops.isolation import reached_isolation
from ops.job_files import read_job_files
from ops.layer import project_repository
from ops.layer import utc_now
from ops.masking import printable
from ops.prior.kept import held
from ops.prior.kept import strange_in
from ops.settings import Settings
from ops.settings import load_settings
from ops.settings import resolve_secret
from ops.supabase.client import ManagementApi
from ops.supabase.client import need_api
from ops.supabase.client import unmanaged_because
from ops.supabase.managed_backups import check_point_possible
from ops.targets import Target
from ops.targets import all_targets
from ops.tools import find_scratch_tools
from ops.tools import find_tools
from ops.windows import longest_wait

PRIVATE = 0o077


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `ok`, `warning` (works, but look at it) or `problem` (will not work)."""

    state: Literal["ok", "warning", "problem"]
    what: str
    found: str


SlackChecks = Callable[[Settings], Iterator[Check]]


def run_doctor(path: Path, slack_checks: SlackChecks, progress: Callable[[str], None] = lambda _: None) -> Reply:
    """Look at everything and change nothing. Exit 1 when there is a problem, 2 without a configuration or a log."""
    checks: list[Check] = []
    told: dict[str, str] = {}
    try:
        settings = load_settings(path)
        checks.append(Check("ok", "configuration", str(path)))
    except OpsError as error:
        checks.append(Check("problem", "configuration", f"{error.message} {error.hint}"))
        told = {"reason": error.reason.value, "message": error.message, "hint": error.hint}
    else:
        try:
            check_log(settings.log_path)
        except OpsError as error:
            told = {"reason": error.reason.value, "message": error.message, "hint": error.hint}
        for look in (
            _log,
            _signing,
            _private,
            slack_checks,
            _windows,
            _targets,
            _projects,
            _tools,
            _overriders,
            _second_factor,
            _direct_ways,
        ):
            progress(f"looking at {look.__name__.strip('_').replace('_', ' ')}")
            checks += _seen(look, settings)
    bad = sum(1 for check in checks if check.state == "problem")
    headline = "Everything works" if not bad else f"{bad} problem{'s' if bad != 1 else ''}"
    lines = [(f"{check.what}: {check.found}",) for check in checks]
    page = Page(headline, body=[Listing("", lines, [check.state for check in checks])])
    data = {**told, "checks": [asdict(check) for check in checks]}
    return Reply(page, data, ok=not bad, exit_code=2 if told else min(bad, 1))


def _seen(look: SlackChecks, settings: Settings) -> list[Check]:
    """What one look found, up to where it failed in a way of its own: the others are not ended by that."""
    checks: list[Check] = []
    try:
        for check in look(settings):
            checks.append(check)
    except (OpsError, AuditError) as error:
        checks.append(Check("problem", look.__name__.strip("_"), f"{error.message} {error.hint}".strip()))
    except OSError as error:
        checks.append(Check("problem", look.__name__.strip("_"), f"{error.filename or ''} {error.strerror}".strip()))
    return checks


def _log(settings: Settings) -> Iterator[Check]:
    path = settings.log_path
    check_log(path)
    found = verify(path)
    words = f"{path}, {found.events} events, head {found.head[:16]}"
    yield Check("ok", "log", words) if found.ok else Check("problem", "log", f"{path}: {found.problems[0].message}")
    if path.stat().st_mode & PRIVATE:
        yield Check("warning", "log", f"others on this host may read {path}; 0600 is how it was made")
    if not os.access(path, os.W_OK):
        yield Check("problem", "log", f"this user may not write {path}")


def _signing(settings: Settings) -> Iterator[Check]:
    for state, found in signing(settings, utc_now()):
        yield Check(state, "signing of the log", found)


def _private(settings: Settings) -> Iterator[Check]:
    """What only the bot's own user may look into: the backups, and files that hold secrets."""
    backups = settings.path(settings.backup.path)
    if backups.exists() and backups.stat().st_mode & PRIVATE:
        yield Check("warning", "backups", f"others on this host may look into {backups}; make it 0700")
    for target in all_targets(settings):
        headers = [value for check in target.settings.health for value in check.headers.values()]
        for reference in (target.settings.database_url, *headers):
            path = settings.path(Path(reference.removeprefix("file:")))
            if reference.startswith("file:") and path.exists() and path.stat().st_mode & PRIVATE:
                yield Check("warning", f"{target.name} secret", f"others on this host may read {path}; make it 0600")


def _targets(settings: Settings) -> Iterator[Check]:
    for target in all_targets(settings):
        yield _database(target)
        yield from _copies(settings, target)
        try:
            repository = project_repository(settings, target)
            repository.update()
            commit = repository.resolve(target.settings.branch)
            yield Check("ok", f"{target.name} repository", f"{target.settings.branch} is at {commit[:12]}")
        except OpsError as error:
            yield Check("problem", f"{target.name} repository", f"{error.message} {error.hint}")
        for check in target.settings.health:
            for name, reference in check.headers.items():
                try:
                    resolve_secret(reference, folder=settings.folder)
                except OpsError as error:
                    yield Check("problem", f"{target.name} health, header {name}", error.message)


def _projects(settings: Settings) -> Iterator[Check]:
    """What the Management API says of each project: whether the token is good, and reads what a run will ask for."""
    for target in all_targets(settings):
        what = f"{target.name} project"
        if target.settings.project_ref is None:
            continue
        because = unmanaged_because(target)
        if because:
            own = target.project_settings.access_token is not None or target.settings.restore_point
            said = f"functions, secrets and managed backups are not looked after: {because}"
            yield Check("problem" if own else "warning", what, said)
            continue
        with need_api(target, timeout_seconds=10, patience_seconds=0) as api:
            yield from _permissions(what, api)
        try:
            check_point_possible(target)
        except OpsError as error:
            yield Check("problem", f"{target.name} restore point", f"{error.message} {error.hint}")


def _permissions(what: str, api: ManagementApi) -> Iterator[Check]:
    """Each thing that is read is asked for once; writing cannot be tried without doing it, and is not."""
    try:
        project = api.project()
    except OpsError as error:
        yield Check("problem", what, f"{error.message} {error.hint}")
        return
    yield Check("ok", what, f"{printable(project.name)} in {printable(project.region)}, {printable(project.status)}")
    for name, ask in (("functions", api.functions), ("secrets", api.secrets), ("backups", api.backups)):
        try:
            ask()
        except OpsError as error:
            yield Check("problem", f"{what}, {name}", f"{error.message} {error.hint}")


def _windows(settings: Settings) -> Iterator[Check]:
    """Whether a request outlives the time between two windows: what is asked for outside them waits for the next."""
    for target in all_targets(settings):
        of, wait = target.settings, longest_wait(target.settings.windows, utc_now())
        if of.asks_people and of.windows and of.expires <= wait:
            said = f"up to {_hours(wait)} lie between two windows, and a request expires after {_hours(of.expires)}"
            then = "what is asked for behind one expires before the next: let `expires` be longer"
            yield Check("warning", f"{target.name} windows", f"{said}; {then}")


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):.3g} hours"


def _database(target: Target) -> Check:
    try:
        with closing(connect(target.database_url(), purpose="doctor")) as connection:
            version = connection.info.server_version // 10000
            encrypted = "TLS" if connection.pgconn.ssl_in_use else "not encrypted, on this host"
    except OpsError as error:
        return Check("problem", f"{target.name} database", f"{error.message} {error.hint}")
    if target.settings.backup_level == "none":
        return Check("ok", f"{target.name} database", f"Postgres {version}, {encrypted}; no backup is asked for")
    try:
        tools = find_tools(version, target.all_settings.postgres.bin)
    except OpsError as error:
        return Check("problem", f"{target.name} database", f"{error.message} {error.hint}")
    return Check("ok", f"{target.name} database", f"Postgres {version}, {encrypted}; dumped by {tools.name}")


def _copies(settings: Settings, target: Target) -> Iterator[Check]:
    """What runs keep of rows on the target itself, where there is any, and what else is there."""
    with suppress(OpsError), closing(connect(target.database_url(), purpose="doctor")) as connection:
        tables, size = held(connection)
        if tables:
            days = f"{target.settings.prior_copy_keep.total_seconds() / 86400:.3g} days"
            said = f"{tables} tables in the schema countersign_undo, {bytes_text(size)}; each goes after {days}"
            yield Check("ok", f"{target.name} prior copies", said)
        if settings.log_path.exists():
            with suppress(AuditError):  # told where the log is looked at
                for strange in strange_in(Reader(settings.log_path), target, connection):
                    yield Check("warning", f"{target.name} prior copies", strange)


def _tools(settings: Settings) -> Iterator[Check]:
    try:
        tools = find_scratch_tools((), configured_bin=settings.postgres.bin)
        yield Check("ok", "scratch cluster", tools.name)
    except OpsError as error:
        yield Check("problem", "scratch cluster", f"{error.message} {error.hint}")
    isolation = reached_isolation()
    yield Check("ok" if isolation.own_uid and isolation.own_network else "warning", "isolation", isolation.sentence)


def _overriders(settings: Settings) -> Iterator[Check]:
    listed = {who for target in all_targets(settings) for who in target.settings.overriders}
    if listed:
        may = "adopt what is there as the baseline, and push an emergency without approvals by a one-time code"
        yield Check("warning", "overriders", f"{', '.join(sorted(listed))} may {may}")
    else:
        none = "none: nobody may adopt what is there as the baseline, or push without approvals"
        yield Check("ok", "overriders", none)


def _second_factor(settings: Settings) -> Iterator[Check]:
    """Whether codes can be judged here; where nobody is asked for one, nothing is said."""
    if settings.second_factor is None:
        return
    try:
        check_key(settings)
    except OpsError as error:
        yield Check("problem", "second factor", f"{error.message} No code can be judged, so none counts")
        return
    enrolled: set[str] = set()
    with suppress(AuditError):  # told where the log is looked at
        view = Reader(settings.log_path) if settings.log_path.exists() else None
        events = view.find(Query(kinds=("enrolled",))) if view else []
        enrolled = {str(event.data["user"]) for event in events if event.data}
    people = ", ".join(sorted(enrolled)) or "nobody; `countersign enrol U0BEN`"
    yield Check("ok", "second factor", f"enrolled: {people}")
    folder = settings.path(settings.second_factor.path)
    if folder.exists() and folder.stat().st_mode & PRIVATE:
        yield Check("problem", "second factor", f"others on this host may look into {folder}; make it 0700")
    key = settings.path(Path(settings.second_factor.key.removeprefix("file:")))
    if settings.second_factor.key.startswith("file:") and key.stat().st_mode & PRIVATE:
        yield Check("problem", "second factor", f"others on this host may read {key}; make it 0600")


def _direct_ways(settings: Settings) -> Iterator[Check]:
    """Ways past us that are still open, of the environments in which people approve; docs/direct-way.md closes them."""
    view = Reader(settings.log_path) if settings.log_path.exists() else None
    for target in all_targets(settings):
        if not target.settings.asks_people:
            continue
        what = f"{target.name} direct way"
        found = [*_ways_in_repository(settings, target), *_ways_in_database(target)]
        if view is not None:
            with suppress(AuditError):  # told where the log is looked at
                found += signs_in_log(view, target, utc_now())
        for sign in found:
            yield Check("warning", what, f"{sign.where}: {sign.found}")
        if found:
            yield Check("warning", what, "docs/direct-way.md says how to take it away")
        else:
            yield Check("ok", what, "no sign of one in the deploy jobs, the database and the log")


def _ways_in_repository(settings: Settings, target: Target) -> list[Sign]:
    repository = project_repository(settings, target)
    commit = repository.resolve(target.settings.branch)
    return list(signs_in_jobs(read_job_files(repository, commit, JOB_FILES)))


def _ways_in_database(target: Target) -> list[Sign]:
    with closing(connect(target.database_url(), purpose="doctor")) as connection:
        return list(signs_in_database(connection))
