"""`countersign doctor`: what is wrong with configuration, log, tokens, repositories, databases, tools and isolation."""

import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from audit import verify
from commands.page import Listing
from commands.page import Page
from commands.reply import Reply
from ops.database import connect
from ops.errors import OpsError
from ops.isolation import reached_isolation
from ops.layer import project_repository
from ops.settings import Settings
from ops.settings import load_settings
from ops.settings import resolve_secret
from ops.targets import Target
from ops.targets import all_targets
from ops.tools import find_scratch_tools
from ops.tools import find_tools

PRIVATE = 0o077


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `ok`, `warning` (works, but look at it) or `problem` (will not work)."""

    state: Literal["ok", "warning", "problem"]
    what: str
    found: str


SlackChecks = Callable[[Settings], Iterator[Check]]


def run_doctor(path: Path, slack_checks: SlackChecks) -> Reply:
    """Look at everything and change nothing. Exit 1 when there is a problem."""
    checks: list[Check] = []
    try:
        settings = load_settings(path)
    except OpsError as error:
        checks.append(Check("problem", "configuration", f"{error.message} {error.hint}"))
    else:
        checks.append(Check("ok", "configuration", str(path)))
        for look in (_log, _secrets_folder, slack_checks, _targets, _tools, _overriders):
            checks += look(settings)
    bad = sum(1 for check in checks if check.state == "problem")
    headline = "Everything works" if not bad else f"{bad} problem{'s' if bad != 1 else ''}"
    lines = [(f"{check.what}: {check.found}",) for check in checks]
    page = Page(headline, body=[Listing("", lines, [check.state for check in checks])])
    return Reply(page, {"checks": [asdict(check) for check in checks]}, ok=not bad, exit_code=1 if bad else 0)


def _log(settings: Settings) -> Iterator[Check]:
    path = settings.log_path
    if not path.exists():
        yield Check("problem", "log", f"there is none at {path}; make it once with `countersign audit create`")
        return
    found = verify(path)
    words = f"{path}, {found.events} events, head {found.head[:16]}"
    yield Check("ok", "log", words) if found.ok else Check("problem", "log", f"{path}: {found.problems[0].message}")
    if path.stat().st_mode & PRIVATE:
        yield Check("warning", "log", f"others on this host may read {path}; 0600 is how it was made")
    if not os.access(path, os.W_OK):
        yield Check("problem", "log", f"this user may not write {path}")


def _secrets_folder(settings: Settings) -> Iterator[Check]:
    for name, folder in (("backups", settings.backup.path), ("state", settings.state.path.parent)):
        path = settings.path(folder)
        if path.exists() and path.stat().st_mode & PRIVATE and name == "backups":
            yield Check("warning", name, f"others on this host may look into {path}; make it 0700")


def _targets(settings: Settings) -> Iterator[Check]:
    for target in all_targets(settings):
        yield _database(target)
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


def _tools(settings: Settings) -> Iterator[Check]:
    try:
        tools = find_scratch_tools(settings.postgres.bin)
        yield Check("ok", "scratch cluster", tools.name)
    except OpsError as error:
        yield Check("problem", "scratch cluster", f"{error.message} {error.hint}")
    isolation = reached_isolation()
    yield Check("ok" if isolation.own_uid and isolation.own_network else "warning", "isolation", isolation.sentence)


def _overriders(_: Settings) -> Iterator[Check]:
    yield Check("ok", "overriders", "none: this version has no way around an approval")
