"""A whole world on one desk: a Slack, two databases, a repository, a configuration, and the real bot as a process."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

import psycopg

from audit import Event
from audit import Log
from audit import Reader
from ops.history import ensure_history
from ops.history import insert_row
from ops.migrations import read_folder
from sandbox.example import PENDING_ON_PROD
from sandbox.example import build_repository
from sandbox.example import migration_names
from sandbox.page_clock import MovableClock
from sandbox.postgres import LocalPostgres
from sandbox.slack import FakeSlack
from sandbox.slack_workspace import demo_workspace

CONFIGURATION = """\
[slack]
channel = "C0DEPLOYS"
{slack}
[audit]
path = "var/audit.db"

[people]
"ana@acme.example" = "U0ANA"

[projects.shop]
repository = "repository"

[projects.shop.environments.dev]
database_url = "$SHOP_DEV_DATABASE_URL"
branch = "develop"
approvals = 0
backup = "none"

[projects.shop.environments.prod]
database_url = "$SHOP_PROD_DATABASE_URL"
branch = "main"
{unsaid}{prod}
"""

PROD = """\
approvals = 1
approvers = ["@database-owners"]
backup = "restored"

[[projects.shop.environments.prod.health]]
name = "orders can be read"
sql = "select count(*) >= 0 from public.orders"
"""

WITH_REHEARSAL = f'rehearsal = "required"\ndrift_check = "1h"\n{PROD}'
"""What an environment with approvals does unless told otherwise; a stage without it is quicker."""

READY_SECONDS = 30.0


@dataclass
class Ran:
    """A terminal command that ended: its exit code, and its two outputs."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Stage:
    """`with Stage() as stage:` prepares everything but the bot; `start_bot()` starts it. All ends with the stage."""

    def __init__(
        self,
        *,
        prod: str = PROD,
        slack: str = "",
        empty: bool = False,
        seeded: bool = True,
        environment: dict[str, str] | None = None,
        rate_limits: bool = True,
        postgres: LocalPostgres | None = None,
        movable_clock: bool = False,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`prod` and `slack` are lines of the configuration (prod rehearses nothing and is not looked at for changes from
        outside unless its lines say so); `empty`: no migrations yet, in the repository or applied;
        `seeded`: dev has every migration of the example already and prod all but the last three;
        `postgres`: a running server to use instead of one of our own, where databases of a stage have its own names;
        `movable_clock`: `clock` drives this Slack and the bot; `progress` is told what is being set up."""
        self._prod = prod
        self._slack_settings = slack
        self._empty = empty
        self._seeded = seeded and not empty
        self._more_environment = environment or {}
        self.folder = Path(tempfile.mkdtemp(prefix="countersign-stage-"))
        self.folder.chmod(0o755)
        self.clock = MovableClock(self.folder / "clock") if movable_clock else None
        seconds = self.clock.seconds if self.clock else time.time
        self.slack = FakeSlack(demo_workspace(), rate_limits=rate_limits, clock=seconds)
        self._progress = progress
        self._owns_postgres = postgres is None
        self.postgres = postgres or LocalPostgres(self.folder / "postgres", fast=True)
        ending = "" if postgres is None else f"_{secrets.token_hex(4)}"
        self.databases = {name: f"{name}{ending}" for name in ("dev", "prod")}
        self.repository = self.folder / "repository"
        self.config = self.folder / "countersign.toml"
        self.bot: subprocess.Popen[bytes] | None = None
        self.bot_log = self.folder / "bot.log"
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self._progress("a Slack")
            self.slack.start()
            self._progress("a Postgres server")
            if self._owns_postgres:
                self.postgres.start()
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything and leave nothing behind."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop_bot(signal.SIGKILL)
        self.slack.stop()
        with contextlib.suppress(subprocess.CalledProcessError, OSError, psycopg.Error):
            if self._owns_postgres:
                self.postgres.stop("immediate")
            else:
                for database in self.databases.values():
                    self.postgres.drop_database(database)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _build(self) -> None:
        names = migration_names()
        self._progress("a repository with the migrations of a shop")
        if self._empty:
            self.repository.mkdir()
            git(self.repository, "init", "--quiet", "--initial-branch=main")
            self.commit({"supabase/config.toml": 'project_id = "shop"\n'}, "Start")
        else:
            build_repository(self.repository)
        self._progress("two databases, dev and prod")
        applied = {"dev": names, "prod": names[:-PENDING_ON_PROD]} if self._seeded else {"dev": [], "prod": []}
        urls = {name: self._make_database(database, applied[name]) for name, database in self.databases.items()}
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "TMPDIR": tempfile.gettempdir(),
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "SLACK_BOT_TOKEN": self.slack.bot_token,
            "SLACK_APP_TOKEN": self.slack.app_token,
            "SLACK_SIGNING_SECRET": self.slack.signing_secret,
            "SLACK_API_URL": self.slack.api_url,
            "COUNTERSIGN_CONFIG": str(self.config),
            "SHOP_DEV_DATABASE_URL": urls["dev"],
            "SHOP_PROD_DATABASE_URL": urls["prod"],
            **self._more_environment,
        }
        said = self._prod.partition("\n[")[0]
        unsaid = "".join(
            f'{name} = "off"\n' for name in ("rehearsal", "drift_check", "watch") if f"{name} =" not in said
        )
        self.config.write_text(CONFIGURATION.format(slack=self._slack_settings, unsaid=unsaid, prod=self._prod))
        Log.create(self.log_path)

    def _make_database(self, database: str, applied: Sequence[str]) -> str:
        """A database with these migrations; its address. On a server that is not ours alone, one is made for all stages."""
        if not self._owns_postgres:
            return self.postgres.copy_database(database, f"stage_{len(applied)}", partial(self._seed, names=applied))
        url = self.postgres.create_database(database)
        self._seed(url, applied)
        return url

    def _seed(self, url: str, names: Sequence[str]) -> None:
        """Apply migrations as somebody did before Countersign came, with the rows that the CLI writes."""
        if not names:
            return
        folder = self.repository / "supabase" / "migrations"
        found = read_folder({name: (folder / name).read_bytes() for name in names})
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            ensure_history(connection)
            for migration in found.migrations:
                for statement in migration.statements:
                    connection.execute(statement.text.encode())
                insert_row(connection, migration)

    @property
    def log_path(self) -> Path:
        return self.folder / "var" / "audit.db"

    def commit(self, files: dict[str, str | bytes], title: str = "Change", author: str = "Mia") -> str:
        """Commit files to main and develop; the commit's name."""
        for name, content in files.items():
            path = self.repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        git(self.repository, "add", "--all")
        person = f"{author} <{author.lower()}@acme.example>"
        identity = ("-c", f"user.name={author}", "-c", f"user.email={author.lower()}@acme.example")
        git(self.repository, *identity, "commit", "--quiet", "--allow-empty", f"--author={person}", "-m", title)
        git(self.repository, "branch", "--force", "develop")
        return git(self.repository, "rev-parse", "HEAD")

    def migration(self, name: str, sql: str | bytes, author: str = "Mia") -> str:
        """Commit one more migration."""
        return self.commit({f"supabase/migrations/{name}": sql}, f"Add {name}", author)

    def sql(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """What the database answers, asked as its owner."""
        with closing(psycopg.connect(self.postgres.url(self.databases[database]), autocommit=True)) as connection:
            cursor = connection.execute(query.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def cli(self, *arguments: str, seconds: float = 120) -> Ran:
        """Run the terminal command and wait for it."""
        ran = subprocess.run(
            [sys.executable, "-m", "countersign", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def start_bot(self, *arguments: str) -> None:
        """Start the real bot as a process of its own and wait until it is connected and ready."""
        before = self._times_ready()
        self.launch_bot(*arguments)
        deadline = time.monotonic() + READY_SECONDS
        while self._times_ready() <= before:
            if time.monotonic() > deadline or self.bot is None or self.bot.poll() is not None:
                raise RuntimeError(f"the bot did not start:\n{self.bot_log.read_text()[-3000:]}")
            time.sleep(0.05)

    def launch_bot(self, *arguments: str) -> None:
        """Start the real bot and wait for nothing."""
        command = ["sandbox.bot_process", str(self.folder / "clock")] if self.clock else ["countersign", "bot"]
        arguments = arguments if self.clock else ("--port", "0", *arguments)
        with self.bot_log.open("ab") as output:
            self.bot = subprocess.Popen(
                [sys.executable, "-m", *command, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _times_ready(self) -> int:
        return self.bot_log.read_text().count("bot_ready") if self.bot_log.exists() else 0

    def stop_bot(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the bot if it runs: politely, or as a crash does (SIGKILL)."""
        if self.bot is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.bot.pid, how)
        self.bot.wait(timeout=60)
        self.bot = None

    def events(self, *kinds: str) -> list[Event]:
        """The events of the log, or those of some kinds."""
        found = Reader(self.log_path).since(0, 100_000)
        return [event for event in found if not kinds or event.kind in kinds]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a repository of the sandbox; its output."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_NAME": "Mia",
        "GIT_COMMITTER_EMAIL": "mia@acme.example",
    }
    ran = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return ran.stdout.strip()
