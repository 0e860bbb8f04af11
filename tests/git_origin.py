"""A git repository as its developers and its attackers make it, for the tests of reading repositories."""

import os
import subprocess
from pathlib import Path

import pytest

from ops.errors import OpsError
from ops.errors import Reason
from ops.repository import Repository

ANA = ("Ana", "ana@acme.example")
MIA = ("Mia", "mia@acme.example")
FIRST = "supabase/migrations/20260101000000_orders.sql"


class Origin:
    """A real repository with a work tree, driven as its developers do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, stdin: str = "", who: tuple[str, str] = ANA, **more: str) -> str:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": who[0],
            "GIT_AUTHOR_EMAIL": who[1],
            "GIT_COMMITTER_NAME": who[0],
            "GIT_COMMITTER_EMAIL": who[1],
            "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+02:00",
            **more,
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin,
            text=True,
            check=True,
            capture_output=True,
        )
        return done.stdout.strip()

    def commit(self, files: dict[str, str], message: str = "Change", who: tuple[str, str] = ANA, **more: str) -> str:
        for path, text in files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}", who=who, **more)
        return self.git("rev-parse", "HEAD")

    def commit_entry(self, mode: str, sha: str, path: str) -> str:
        """A commit with an entry that no work tree would give."""
        self.git("update-index", "-z", "--index-info", stdin=f"{mode} {sha}\t{path}\0")
        self.git("commit", "--quiet", "--message=Odd")
        return self.git("rev-parse", "HEAD")

    def blob(self, text: str) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=text)


def make_origin(tmp_path: Path) -> Origin:
    """A repository with one commit: a migration, a configuration, and something else."""
    made = Origin(tmp_path / "shop")
    made.commit({FIRST: "select 1;\n", "supabase/config.toml": "[db]\n", "README.md": "shop\n"}, "Add orders")
    return made


def make_repository(origin: Origin, tmp_path: Path) -> Repository:
    """The same as we read it, fetched."""
    made = Repository(str(origin.folder), tmp_path / "cache")
    made.update()
    return made


def refused(reason: Reason) -> "pytest.RaisesExc[OpsError]":
    return pytest.raises(OpsError, check=lambda error: error.reason is reason)


def read(repository: Repository, branch: str = "main") -> dict[str, bytes]:
    repository.update()
    return dict(repository.snapshot(repository.resolve(branch)).files)
