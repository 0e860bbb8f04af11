"""The example project "shop" as a real git repository: what the demo and the tests plan and push."""

import os
import re
import shutil
import subprocess
from datetime import UTC
from datetime import datetime
from pathlib import Path

PROJECT = Path(__file__).parent / "project"
AUTHORS = {"Ana": "ana@acme.example", "Mia": "mia@acme.example"}
PENDING_ON_PROD = 3  # so many migrations, the last ones, are on main but not on prod when the demo's story begins

_NAME = re.compile(r"(?P<version>[0-9]{14})_(?P<name>[^/\n]+)\.sql")


def migration_names() -> list[str]:
    """The example's migrations as they are applied, such as `20260105091500_create_private_schema.sql`."""
    return sorted(path.name for path in (PROJECT / "supabase/migrations").iterdir())


def build_repository(folder: Path, *, through: str | None = None) -> Path:
    """A new repository in this folder, with the branches main and develop at the same files. Returns the folder.

    One commit for each migration, by Ana and Mia in turn, at the time that its version says, so that the commits
    have the same names on every machine. `through` is the last migration's version; None: all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    shutil.copytree(PROJECT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("migrations", "__pycache__"))
    _commit(folder, "Start the shop", "Ana", datetime(2026, 1, 5, 9, tzinfo=UTC))

    for number, name in enumerate(migration_names()):
        if through is None or name.partition("_")[0] <= through:
            sql = (PROJECT / "supabase/migrations" / name).read_text(encoding="utf-8")
            commit_migration(folder, name, sql, "Mia" if number % 2 else "Ana")
    return folder


def commit_migration(repository: Path, name: str, sql: str, author: str) -> str:
    """Commit one migration (`20261201090000_add_tax.sql`) by Ana or Mia on main, and on develop. Returns the commit.

    The commit's time and title come from the name: "Add tax".
    """
    match = _NAME.fullmatch(name)
    if match is None:
        msg = f"{name!r} is not the name of a migration, such as 20261201090000_add_tax.sql"
        raise ValueError(msg)
    path = repository / "supabase/migrations" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(sql, encoding="utf-8")
    at = datetime.strptime(match["version"], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return _commit(repository, match["name"].replace("_", " ").capitalize(), author, at)


def _commit(repository: Path, title: str, author: str, at: datetime) -> str:
    person = ("-c", f"user.name={author}", "-c", f"user.email={AUTHORS[author]}")
    _git(repository, "add", "--all")
    _git(repository, *person, "commit", "--quiet", f"--message={title}", at=at)
    _git(repository, "branch", "--force", "develop")
    return _git(repository, "rev-parse", "HEAD")


def _git(repository: Path, *arguments: str, at: datetime | None = None) -> str:
    """Run git without this machine's settings: no hooks, signatures or templates of whoever plays the demo."""
    dates = {f"GIT_{who}_DATE": at.isoformat() for who in ("AUTHOR", "COMMITTER")} if at else {}
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TEMPLATE_DIR": "",
        **dates,
    }
    done = subprocess.run(
        ["git", *arguments], cwd=repository, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()
