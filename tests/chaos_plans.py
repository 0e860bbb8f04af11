"""Plans for chaos, and what is truly on a target of them: every statement leaves a trace that tells twice from once."""

import random
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

from ops.database import Connection

BASE = """
create table ran (name text);
create table counters (name text, times int);
create table big (i int, j int);
insert into big select n, n from generate_series(1, 20000) n;
create procedure bump(what text) language plpgsql as $$ begin insert into ran values (what); commit; end $$;
"""
"""What a target has before. Nothing here has a key, so that nothing but the runner keeps a statement from running twice."""

ALL_ALONE = "-- pg-delta: transaction=false\n"
"""The first line of a file whose statements are each sent by themselves."""


IN_BATCHES = "-- countersign: in batches of 200 rows\n"
"""The first line of a file whose one statement runs over so many rows at a time."""


@dataclass(frozen=True)
class Said:
    """A statement: how often it ran (`trace`, SQL for one number; -1: half of it; empty: it leaves no trace), and what
    the target has to have before its file runs."""

    sql: str
    trace: str
    before: str = ""


@dataclass(frozen=True)
class Part:
    """Statements that are there all or not at all; `alone`: one, outside a transaction."""

    statements: tuple[Said, ...]
    alone: bool = False


@dataclass(frozen=True)
class File:
    version: str
    name: str
    parts: tuple[Part, ...]
    first_line: str = ""

    @property
    def in_batches(self) -> bool:
        """Whether a half of it is gone on with, by a push as well."""
        return self.first_line == IN_BATCHES

    @property
    def filename(self) -> str:
        return f"{self.version}_{self.name}.sql"

    @property
    def statements(self) -> tuple[Said, ...]:
        return tuple(one for part in self.parts for one in part.statements)

    @property
    def is_one_transaction(self) -> bool:
        return len(self.parts) == 1 and not self.parts[0].alone

    @property
    def text(self) -> str:
        return self.first_line + "".join(f"{one.sql};\n" for one in self.statements)

    @property
    def row(self) -> tuple[str, str, list[str]]:
        """Its history row as the Supabase CLI writes it."""
        texts = [one.sql for one in self.statements]
        return self.version, self.name, [self.first_line + texts[0], *texts[1:]]


@dataclass(frozen=True)
class Plan:
    name: str
    files: tuple[File, ...]

    @property
    def before(self) -> str:
        return "".join(f"{one.before};\n" for file in self.files for one in file.statements if one.before)


def _index(name: str) -> str:
    return (
        "select coalesce((select case when indisvalid then 1 else -1 end from pg_index "
        f"where indexrelid = to_regclass('public.{name}')), 0)"
    )


def trace(key: str) -> Said:
    return Said(f"insert into ran values ('{key}')", f"select count(*) from ran where name = '{key}'")


def slow(key: str, seconds: float) -> Said:
    sql = f"insert into ran select '{key}' from pg_sleep({seconds})"
    return Said(sql, f"select count(*) from ran where name = '{key}'")


def counter(key: str) -> Said:
    return Said(
        f"update counters set times = times + 1 where name = '{key}'",
        f"select times from counters where name = '{key}'",
        f"insert into counters values ('{key}', 0)",
    )


def table(key: str) -> Said:
    return Said(f"create table t_{key} (i int)", f"select count(*) from pg_class where relname = 't_{key}'")


def column(key: str) -> Said:
    return Said(
        f"alter table big add column c_{key} int", f"select count(*) from pg_attribute where attname = 'c_{key}'"
    )


def build(key: str) -> Said:
    return Said(f"create index concurrently i_{key} on big (i)", _index(f"i_{key}"))


def drop(key: str) -> Said:
    there = f"select case x when 0 then 1 when 1 then 0 else -1 end from ({_index(f'd_{key}')}) as found (x)"
    return Said(f"drop index concurrently d_{key}", there, f"create index d_{key} on big (j)")


def call(key: str) -> Said:
    return Said(f"call bump('{key}')", f"select count(*) from ran where name = '{key}'")


def fill(key: str) -> Said:
    """Over 1,000 rows, each of which tells how often it was met."""
    return Said(
        f"update rows_{key} set times = times + 1",
        f"select case when min(times) = max(times) or max(times) > 1 then max(times) else -1 end from rows_{key}",
        f"create table rows_{key} (id int primary key, times int); "
        f"insert into rows_{key} select n, 0 from generate_series(1, 1000) n",
    )


def vacuum(_: str) -> Said:
    return Said("vacuum ran", "")


TOGETHER: Sequence[Callable[[str], Said]] = (trace, counter, table, column)
ALONE: Sequence[Callable[[str], Said]] = (build, build, drop, vacuum)


def _file(number: int, name: str, *parts: Part, first_line: str = "", year: int = 2026) -> File:
    return File(f"{year}{number // 28 + 1:02}{number % 28 + 1:02}000000", name, parts, first_line)


def _together(*statements: Said) -> Part:
    return Part(statements)


def _alone(statement: Said) -> Part:
    return Part((statement,), alone=True)


def dice(seed: str) -> random.Random:
    """What gives the same again for the same seed."""
    return random.Random(seed)  # noqa: S311 (nothing secret rests on it)


def mixed_plan() -> Plan:
    """Every kind of file at least once."""
    return Plan(
        "mixed",
        (
            _file(1, "slow", _together(trace("a1"), table("a2"), slow("a3", 0.05), counter("a4"))),
            _file(2, "parts", _together(trace("b1")), _alone(build("b2")), _together(trace("b3"), counter("b4"))),
            _file(3, "plain", _together(counter("c1"), column("c2"))),
            _file(4, "plain_too", _together(trace("d1"), table("d2"))),
            _file(5, "plain_again", _together(trace("e1"))),
            _file(6, "indexes", _alone(drop("f1")), _alone(build("f2"))),
            _file(7, "batches", _alone(fill("h1")), first_line=IN_BATCHES),
            _file(8, "each_alone", _alone(trace("g1")), _alone(call("g2")), first_line=ALL_ALONE),
        ),
    )


def random_plan(name: str, rng: random.Random, *, prefix: str = "", first: int = 1, year: int = 2026) -> Plan:
    """Two to five files, each of one to four parts; `prefix` keeps the names of several plans on one target apart."""
    files = []
    for number in range(rng.randint(2, 5)):
        key = f"{prefix}{number}"
        shape = rng.random()
        if shape < 0.5:
            files.append(_file(first + number, f"m{key}", _random_together(key, 0, rng), year=year))
            continue
        if shape < 0.6:
            files.append(_file(first + number, f"m{key}", _alone(fill(key)), first_line=IN_BATCHES, year=year))
            continue
        if shape < 0.7:
            kinds = (trace, counter, call)
            statements = [_alone(rng.choice(kinds)(f"{key}s{one}")) for one in range(rng.randint(1, 3))]
            files.append(_file(first + number, f"m{key}", *statements, first_line=ALL_ALONE, year=year))
            continue
        parts: list[Part] = []
        for part in range(rng.randint(1, 4)):
            before = parts[-1] if parts else None
            if before is None or (before.alone and rng.random() < 0.6):
                parts.append(_random_together(key, part, rng))
            else:
                parts.append(_alone(rng.choice(ALONE)(f"{key}p{part}")))
        files.append(_file(first + number, f"m{key}", *parts, year=year))
    return Plan(name, tuple(files))


def _random_together(key: str, part: int, rng: random.Random) -> Part:
    statements = [rng.choice(TOGETHER)(f"{key}p{part}s{one}") for one in range(rng.randint(1, 4))]
    if rng.random() < 0.3:
        statements.append(slow(f"{key}p{part}slow", 0.08))
    return _together(*statements)


def how_often(connection: Connection, file: File) -> list[int | None]:
    """How often each of a file's statements ran, by its trace; None where it leaves none, -1 where half of it is there."""
    found: list[int | None] = []
    for one in file.statements:
        row = connection.execute(one.trace.encode()).fetchone() if one.trace else None
        found.append(int(row[0]) if row else None)
    return found


def history_rows(connection: Connection) -> list[tuple[str, str, list[str]]]:
    """The history's rows by version; empty where there is no table yet."""
    there = connection.execute("select to_regclass('supabase_migrations.schema_migrations') is not null").fetchone()
    if not there or not there[0]:
        return []
    query = "select version, name, statements from supabase_migrations.schema_migrations order by version"
    return [(row[0], row[1], list(row[2])) for row in connection.execute(query).fetchall()]
