"""Readers while a migration waits behind a forgotten transaction: how long the slowest waits with `countersign push`, with
`supabase db push`, with plain psql, and with nobody migrating at all."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field

import psycopg

from bench.measuring import Bound
from bench.measuring import Figure
from bench.measuring import alternate
from bench.measuring import options_of
from bench.measuring import report
from bench.projects import NO_RIVAL
from bench.projects import SUPABASE
from bench.projects import Project
from ops.tools import wheel_tools

AT_MOST_SECONDS = 0.15
"""So long a reader may wait at most because of us."""

LANDS_WITHIN_SECONDS = 10.0
"""After the blocker is gone; our pauses grow to 5 s, and a try is uneven."""

_BLOCKER_SECONDS = 6.0
_READERS = 4
_TABLE = (
    "create table public.busy (id int primary key, old text); "
    "insert into public.busy select n, md5(n::text) from generate_series(1, 1000) n"
)
_ALTER = "alter table public.busy drop column old, add column note text"
_KEEPING = 'prior_copy = "64MB"'
"""The setting with which a run first copies what it takes away, here a thousand values, into the target."""


@dataclass(frozen=True)
class Round:
    """What the readers saw: the slowest query in seconds, how many took over 100 ms, and when the migration was through,
    in seconds after the blocker was gone."""

    slowest: float
    over_100_ms: int
    landed: float


@dataclass
class _Readers:
    """An application in so many threads, each with a session of its own, that reads one row after another."""

    url: str
    over: threading.Event = field(default_factory=threading.Event)
    seconds: list[float] = field(default_factory=list)

    def read(self) -> None:
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            while not self.over.is_set():
                began = time.perf_counter()
                connection.execute("SELECT count(*) FROM public.busy WHERE id = 7").fetchone()
                self.seconds.append(time.perf_counter() - began)
                time.sleep(0.002)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.read) for _ in range(_READERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the slowest readers; 1 when ours are not within their bounds."""
    options = options_of(__doc__ or "", arguments, rounds=5)
    blocked_seconds = 1.0 if options.tiny else _BLOCKER_SECONDS
    psql = wheel_tools()
    with Project(options.folder) as project:
        project.stage.commit({"supabase/migrations/20260101000000_note.sql": f"{_ALTER};\n"})
        project.fresh_database()
        project.ours("plan", "dev", "--json")  # the mirror of the repository is made once

        def measure(migrate: Callable[[str], object] | None) -> Round:
            return _measure(project, migrate, blocked_seconds)

        contenders: dict[str, Callable[[], Round]] = {
            "nobody": lambda: measure(None),
            "ours": lambda: measure(lambda _: project.ours("push", "dev", "--json")),
            "keeping": lambda: _keeping(project, lambda: measure(lambda _: project.ours("push", "dev", "--json"))),
        }
        if psql is not None:
            program = psql.program("psql")
            contenders["psql"] = lambda: measure(
                lambda url: subprocess.run([program, "-Xqc", _ALTER, url], check=True, timeout=60)
            )
        if SUPABASE:
            contenders["rival"] = lambda: measure(lambda _: project.rival("db", "push"))
        found = alternate(options.rounds, contenders)
    figures: list[Figure | Bound] = [
        Bound("slowest reader, ours", _slowest(found["ours"]), at_most=AT_MOST_SECONDS),
        Bound("slowest reader, ours with prior copies", _slowest(found["keeping"]), at_most=AT_MOST_SECONDS),
        Bound("slowest reader, nobody migrates", _slowest(found["nobody"])),
        Bound("queries over 100 ms, ours", [float(one.over_100_ms) for one in found["ours"]], unit=""),
        Bound("ours is through after the blocker", [one.landed for one in found["ours"]], at_most=LANDS_WITHIN_SECONDS),
    ]
    for name, words in (("rival", "supabase db push"), ("psql", "plain psql")):
        if name in found:
            figures.append(Figure(f"slowest reader, beside {words}", _slowest(found["ours"]), _slowest(found[name])))
    return report("Readers behind a blocker", figures, folder=options.folder, notes=() if SUPABASE else (NO_RIVAL,))


def _keeping(project: Project, measure: Callable[[], Round]) -> Round:
    """A round with prior copies on."""
    configuration = project.stage.folder / "countersign.toml"
    before = configuration.read_text()
    heading = "[projects.shop.environments.dev]\n"
    configuration.write_text(before.replace(heading, f"{heading}{_KEEPING}\n"))
    try:
        return measure()
    finally:
        configuration.write_text(before)


def _slowest(rounds: Sequence[Round]) -> list[float]:
    return [one.slowest for one in rounds]


def _measure(project: Project, migrate: Callable[[str], object] | None, blocked_seconds: float) -> Round:
    """One round on a new database. The blocker goes so long after the migration was first seen to wait for it."""
    project.fresh_database()
    url = project.stage.environment["SHOP_DEV_DATABASE_URL"]
    with closing(psycopg.connect(url, autocommit=True)) as admin, closing(psycopg.connect(url)) as blocker:
        admin.execute(_TABLE)
        blocker.execute("SELECT count(*) FROM public.busy")  # and its transaction stays open
        readers = _Readers(url)
        ended: list[float] = []

        def work() -> None:
            if migrate is not None:
                migrate(url)
            ended.append(time.perf_counter())

        with readers.at_work():
            worker = threading.Thread(target=work)
            worker.start()
            if migrate is not None:
                _until_it_waits(admin, worker)
            time.sleep(blocked_seconds)
            blocker.commit()
            gone = time.perf_counter()
            worker.join()
            time.sleep(0.2)
    slow = sum(1 for seconds in readers.seconds if seconds > 0.1)
    return Round(max(readers.seconds), slow, max(0.0, ended[0] - gone) if migrate is not None else 0.0)


def _until_it_waits(admin: "psycopg.Connection[tuple[object, ...]]", worker: threading.Thread) -> None:
    """Return as soon as somebody waits for the strongest lock of the table. Raises RuntimeError when nobody ever does."""
    while worker.is_alive():
        waits = admin.execute(
            "SELECT FROM pg_locks WHERE relation = 'public.busy'::regclass AND mode = 'AccessExclusiveLock' "
            "AND NOT granted"
        ).fetchone()
        if waits is not None:
            return
        time.sleep(0.01)
    raise RuntimeError("the migration ended without having waited")


if __name__ == "__main__":
    sys.exit(main())
