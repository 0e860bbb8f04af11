"""A project with so many migrations, databases for it, and the two programs that are timed on them."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from ops.history import ensure_history
from ops.migrations import read_migration
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

SUPABASE = os.environ.get("COUNTERSIGN_TEST_SUPABASE", "")
"""The real Supabase CLI, the rival; empty where it is not installed."""

NO_RIVAL = "the Supabase CLI is not here: $COUNTERSIGN_TEST_SUPABASE names it"
_FIRST_VERSION = 20_200_101_000_000
_LIMIT_SECONDS = 600


class Project:
    """One repository and one durable Postgres; every database begins empty, and both programs see the same files."""

    def __init__(self, folder: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="countersign-bench-", dir=folder)
        Path(self._folder.name).chmod(0o755)
        self.postgres = LocalPostgres(Path(self._folder.name) / "postgres")  # fsync and synchronous_commit are on
        self.postgres.start()
        self.stage = Stage(empty=True, postgres=self.postgres)
        self._databases = 0
        self._emptied = 0

    def __enter__(self) -> Self:
        self.stage.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stage.close()
        self.postgres.stop("immediate")
        self._folder.cleanup()

    def hold(self, count: int) -> None:
        """Have the repository hold exactly the first `count` migrations, of two statements each."""
        folder = self.stage.repository / "supabase" / "migrations"
        for path in folder.glob("*.sql"):
            path.unlink()
        self.stage.commit({f"supabase/migrations/{_name(number)}": _sql(number) for number in range(count)})

    def fresh_database(self, applied: int = 0) -> None:
        """From now on the target is a new database, whose history says that the first `applied` migrations ran."""
        self._databases += 1
        url = self.postgres.create_database(f"bench_{self._databases}")
        self.stage.environment["SHOP_DEV_DATABASE_URL"] = url
        if not applied:
            return
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            ensure_history(connection)
            with (
                connection.cursor() as cursor,
                cursor.copy(
                    "COPY supabase_migrations.schema_migrations (version, name, statements) FROM STDIN"
                ) as rows,
            ):
                for number in range(applied):
                    version, _, rest = _name(number).partition("_")
                    name = rest.removesuffix(".sql")
                    read = read_migration(_name(number), version, name, _sql(number).encode())
                    rows.write_row((version, name, [statement.text for statement in read.statements]))
            connection.execute("VACUUM ANALYZE supabase_migrations.schema_migrations")

    def empty_database(self) -> None:
        """Have the target empty again, under the name that it has: a bot that runs knows no other.

        What it held stays, under another name, until the end: ext4 does not hand out an inode again that was freed a
        moment ago, so after a thousand tables are dropped each new file is looked for beyond them, half a second and more
        of a push.
        """
        name = f"bench_{self._databases}"
        self._emptied += 1
        self.postgres.rename_database(name, f"{name}_held_{self._emptied}")
        self.postgres.create_database(name)

    @contextmanager
    def bot(self, wanted: bool) -> Iterator[None]:
        """The bot as a process beside, or not."""
        if wanted:
            self.stage.start_bot()
        try:
            yield
        finally:
            self.stage.stop_bot()

    def ours(self, *words: str) -> float:
        """Seconds that `countersign <words>` takes at a terminal, from its start to its exit."""
        began = time.perf_counter()
        ran = self.stage.cli(*words, seconds=_LIMIT_SECONDS)
        seconds = time.perf_counter() - began
        if ran.code != 0:
            raise RuntimeError(f"countersign {' '.join(words)} failed: {ran.out[-500:]} {ran.err[-500:]}")
        return seconds

    def rival(self, *words: str) -> float:
        """Seconds that `supabase <words>` takes at a terminal, from its start to its exit."""
        settings = {"SUPABASE_YES": "1", "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
        began = time.perf_counter()
        ran = subprocess.run(
            [SUPABASE, *words, "--db-url", self.stage.environment["SHOP_DEV_DATABASE_URL"]],
            cwd=self.stage.repository,
            env={**self.stage.environment, **settings},
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        seconds = time.perf_counter() - began
        if ran.returncode != 0:
            raise RuntimeError(f"supabase {' '.join(words)} failed: {ran.stdout[-500:]} {ran.stderr[-500:]}")
        return seconds


def _name(number: int) -> str:
    return f"{_FIRST_VERSION + number}_step_{number}.sql"


def _sql(number: int) -> str:
    return (
        f"create table public.step_{number} (id bigint primary key, note text not null default '');\n"
        f"insert into public.step_{number} (id, note) values ({number}, 'step {number}');\n"
    )
