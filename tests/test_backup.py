"""Backups: what they hold, what their proof is worth, and what it never says."""

import json
import os
import random
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from postgres_fixtures import run_sql

from ops.backup import BackupProof
from ops.backup import Level
from ops.backup import check_backup
from ops.backup import take_backup
from ops.backup import unreadable_block
from ops.errors import OpsError
from ops.errors import Reason
from ops.tools import find_tools
from sandbox.postgres import LocalPostgres
from sandbox.postgres import TlsPostgres

SHOP = """
CREATE TABLE public.orders (
  id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  total numeric(10, 2) NOT NULL,
  gross numeric GENERATED ALWAYS AS (total * 1.19) STORED,
  note text DEFAULT 'né',
  at timestamptz DEFAULT now(),
  ratio float8 DEFAULT 0.1
);
INSERT INTO public.orders (total) SELECT g FROM generate_series(1, 500) g;
CREATE INDEX ON public.orders (at);
CREATE VIEW public.large AS SELECT * FROM public.orders WHERE total > 100;
CREATE TABLE public.empty (a int);
CREATE TABLE public."odd ""name" ("a b" int[], "C" jsonb);
INSERT INTO public."odd ""name" VALUES ('{1,NULL}', '{"a": 1}');
ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.orders FOR SELECT TO authenticated USING (auth.uid() IS NOT NULL);
CREATE TABLE public.parts (k text, id int) PARTITION BY LIST (k);
CREATE TABLE public.parts_a PARTITION OF public.parts FOR VALUES IN ('a');
INSERT INTO public.parts VALUES ('a', 1), ('a', 2);
SELECT lo_from_bytea(0, 'large object');
"""


def fill(database: str, text: LiteralString = SHOP) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(text)


def take(database: str, folder: Path, level: Level = Level.RESTORED) -> BackupProof:
    return take_backup(database, level=level, folder=folder / "backups", label="shop/prod R-7")


@pytest.fixture(scope="module")
def small(local_postgres: LocalPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackupProof]:
    """A small intact backup that tests may copy and bend."""
    database = local_postgres.create_database("small")
    fill(database)
    yield take(database, tmp_path_factory.mktemp("small"), Level.INTACT)
    local_postgres.drop_database("small")


def test_an_identical_backup_is_proven_with_every_row(database: str, tmp_path: Path) -> None:
    fill(database)
    proof = take(database, tmp_path, Level.IDENTICAL)
    assert (proof.proven, proof.problems, proof.expected_errors) == (True, (), ())
    # orders, empty, "odd name", parts_a; auth.users, storage.buckets and storage.objects are empty
    assert (proof.tables, proof.rows) == (7, 503)
    assert (proof.server_version, proof.level) == (18, Level.IDENTICAL)
    assert json.loads(json.dumps(proof.to_json()))["level"] == "identical"


def test_the_files_are_private_complete_and_named_after_the_label(small: BackupProof) -> None:
    path = Path(small.path)
    assert path.name.startswith("shop-prod-R-7-")
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, f"{path.name}.sha256", f"{path.name}.about"}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {0o600}
    assert path.with_name(f"{path.name}.sha256").read_text() == f"{small.sha256}  {path.name}\n"
    assert small.bytes == path.stat().st_size
    assert check_backup(path) == ()


def test_every_single_byte_flip_is_found(small: BackupProof, tmp_path: Path) -> None:
    """The checksum finds all of them, wherever they are: nothing of a bent archive is parsed."""
    whole = Path(small.path).read_bytes()
    copy = tmp_path / "copy.dump"
    tools = find_tools(None)
    chosen = random.Random(7)  # noqa: S311 - places, not secrets
    by_checksum = 0
    for place in chosen.sample(range(len(whole)), 30):
        bent = bytearray(whole)
        bent[place] ^= 1 << chosen.randrange(8)
        copy.write_bytes(bent)
        by_checksum += any("its checksum is another" in one for one in check_backup(copy, small.sha256, tools=tools))
    assert by_checksum == 30


def test_a_flip_in_the_rows_is_found_by_reading_alone(database: str, tmp_path: Path) -> None:
    fill(database, "CREATE TABLE public.t AS SELECT md5(g::text) AS x FROM generate_series(1, 20000) g")
    path = Path(take(database, tmp_path, Level.INTACT).path)
    whole = path.read_bytes()
    assert unreadable_block(path, find_tools(None)) is None
    for place in range(len(whole) // 2, len(whole) // 2 + 30):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        assert "cannot be read to its end" in (unreadable_block(path, find_tools(None)) or "")


def test_a_cut_or_missing_file_is_found(small: BackupProof, tmp_path: Path) -> None:
    copy = tmp_path / "copy.dump"
    copy.write_bytes(Path(small.path).read_bytes()[: small.bytes // 2])
    assert check_backup(copy, small.sha256) == ("The backup copy.dump has changed: its checksum is another.",)
    assert "cannot be read to its end" in (unreadable_block(copy, find_tools(None)) or "")
    assert check_backup(tmp_path / "gone.dump") == ("The backup gone.dump or its checksum cannot be read.",)


def test_writes_during_the_dump_change_nothing(database: str, tmp_path: Path) -> None:
    fill(database)
    done = threading.Event()

    def write() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            while not done.is_set():
                connection.execute("INSERT INTO public.orders (total) VALUES (1)")
                connection.execute("UPDATE public.orders SET note = note || 'x' WHERE id % 50 = 0")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        proof = take(database, tmp_path, Level.IDENTICAL)
    finally:
        done.set()
        writer.join()
    assert (proof.proven, proof.problems) == (True, ())
    with psycopg.connect(database) as connection:
        (now,) = connection.execute("SELECT count(*) FROM public.orders").fetchone() or (0,)
    assert now > proof.rows - 3


def test_what_only_a_superuser_could_restore_is_named_and_expected(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    fill(database)
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    run_sql(
        local_postgres,
        str(name),
        "CREATE FUNCTION public.noticed() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER noticing ON ddl_command_end EXECUTE FUNCTION public.noticed();"
        "CREATE PUBLICATION everything FOR ALL TABLES;"
        "CREATE PUBLICATION some_tables FOR TABLE public.orders;",
    )
    proof = take(database, tmp_path)
    assert (proof.proven, proof.problems) == (True, ())
    assert proof.expected_errors == (
        "Publication everything: only a superuser can create it, and a scratch database lends none.",
        "Event trigger noticing: only a superuser can create it, and a scratch database lends none.",
    )


def test_a_schema_that_does_not_restore_is_not_proven(database: str, tmp_path: Path) -> None:
    """A check that calls a function without naming its schema: it works live and fails in every restore."""
    fill(
        database,
        "SET check_function_bodies = off;"
        "CREATE FUNCTION public.limit_of() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 10';"
        "CREATE FUNCTION public.fits(a int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN RETURN a < limit_of(); END';"
        "CREATE TABLE public.t (a int CHECK (public.fits(a)));"
        "INSERT INTO public.t VALUES (1);",
    )
    proof = take(database, tmp_path)
    assert not proof.proven
    assert proof.problems == (
        "Restoring failed at table data t: function limit_of() does not exist",
        "The table public.t has 0 rows restored, and 1 in the target.",
    )
    assert take(database, tmp_path, Level.INTACT).proven


def test_what_no_dump_holds_is_said(local_postgres: LocalPostgres, database: str, tmp_path: Path) -> None:
    fill(database)
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    run_sql(local_postgres, name, f"ALTER DATABASE {name} SET work_mem = '5MB'")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO public.empty VALUES (1), (1)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON public.empty (a)")
    assert take(database, tmp_path, Level.INTACT).not_held == (
        "Roles, their passwords, settings and memberships are outside the dump.",
        "The index public.broken is invalid, and a dump leaves invalid indexes out.",
        "Settings of the database are outside the dump: work_mem=5MB.",
        "Generated columns of public.orders are computed again on restoring: gross.",
        "Files in Storage are outside the database; only their rows are held.",
    )


def test_a_table_that_may_not_be_read_is_no_backup(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(database)["dbname"])
    run_sql(local_postgres, name, "CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int)")
    run_sql(local_postgres, name, "CREATE TABLE vault.secrets (secret text)")
    run_sql(local_postgres, "postgres", "REVOKE pg_read_all_data FROM postgres")
    try:
        with pytest.raises(OpsError, match=r"postgres may not read hidden\.t") as caught:
            take(database, tmp_path)
        assert caught.value.reason is Reason.TARGET_REFUSED
        run_sql(local_postgres, name, "DROP SCHEMA hidden CASCADE")
        proof = take(database, tmp_path)
    finally:
        run_sql(local_postgres, "postgres", "GRANT pg_read_all_data TO postgres")
    assert proof.proven
    assert "The login may not read the managed table vault.secrets; it is left out." in proof.not_held


def test_a_table_being_altered_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path
) -> None:
    fill(database)
    monkeypatch.setattr("ops.backup_catalog._SESSION", "SET lock_timeout = '100ms'")
    with psycopg.connect(database) as blocker:
        blocker.execute("LOCK TABLE public.orders")
        with pytest.raises(OpsError) as caught:
            take(database, tmp_path)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.LOCK_TIMEOUT, 5)


def test_the_password_is_in_no_process_list_and_no_error(
    local_postgres: LocalPostgres, database: str, tmp_path: Path
) -> None:
    fill(database)
    seen: list[str] = []

    def look() -> bool:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_text(errors="replace")
                environment = (process / "environ").read_text(errors="replace")
            except OSError:
                continue
            if "pg_dump" in command.partition("\0")[0] or "pg_restore" in command.partition("\0")[0]:
                seen.append(command + environment)
        return False

    take_backup(database, level=Level.RESTORED, folder=tmp_path, label="seen", stop=look)
    assert any("pg_dump" in text for text in seen)
    assert not any(local_postgres.password in text for text in seen)
    wrong = database.replace(local_postgres.password, "wrong-hunter2")
    with pytest.raises(OpsError) as caught:
        take_backup(wrong, level=Level.RESTORED, folder=tmp_path, label="seen")
    assert caught.value.reason is Reason.TARGET_UNAVAILABLE
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "stage",
    [
        "opening a snapshot",
        "dumping",
        "reading the target's rows",
        "starting a scratch database",
        "restoring the backup",
    ],
)
def test_a_stop_leaves_nothing_running_and_no_partial_file(database: str, tmp_path: Path, stage: str) -> None:
    fill(database)
    said: list[str] = []

    with pytest.raises(OpsError) as caught:
        take_backup(
            database,
            level=Level.IDENTICAL,
            folder=tmp_path / "b",
            label="stopped",
            progress=lambda words, _fraction: said.append(words),
            stop=lambda: any(words.startswith(stage) for words in said),
        )
    assert caught.value.reason is Reason.STOPPED
    assert list((tmp_path / "b").glob("*.partial")) == []
    with psycopg.connect(database) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'countersign%'"
        assert connection.execute(others).fetchone() == (0,)


def test_the_target_is_free_before_the_proof_begins(database: str, tmp_path: Path) -> None:
    fill(database)
    sessions: dict[str, int] = {}
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'countersign%'"
    with psycopg.connect(database, autocommit=True) as connection:

        def note(words: str, _fraction: float | None) -> None:
            row = connection.execute(others).fetchone()
            sessions[words.partition(":")[0]] = row[0] if row else 0

        take_backup(database, level=Level.RESTORED, folder=tmp_path, label="free", progress=note)
    assert sessions["dumping"] > 0
    assert sessions["starting a scratch database"] == 0
    assert sessions["the backup is proven"] == 0


def test_no_room_is_said_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path
) -> None:
    monkeypatch.setattr("ops.backup_files.SPARE_BYTES", 2**60)
    with pytest.raises(OpsError, match="MB free, and it takes up to"):
        take(database, tmp_path)
    assert list((tmp_path / "backups").iterdir()) == []


EXTENSIONS = """
CREATE EXTENSION pgcrypto SCHEMA extensions;
CREATE EXTENSION "uuid-ossp" SCHEMA extensions;
CREATE EXTENSION pg_trgm SCHEMA extensions;
CREATE EXTENSION citext;
CREATE EXTENSION hstore SCHEMA extensions;
CREATE TABLE public.orders (
  id uuid PRIMARY KEY DEFAULT extensions.uuid_generate_v4(),
  token uuid NOT NULL DEFAULT extensions.gen_random_uuid(),
  email citext UNIQUE,
  tags extensions.hstore,
  sum text NOT NULL GENERATED ALWAYS AS (encode(extensions.digest('x', 'sha256'), 'hex')) STORED,
  note text
);
INSERT INTO public.orders (email, tags, note) 
SELECT 'Ana' || g || '@x', 'a=>"1"', 'né ' || g FROM generate_series(1, 300) g;
CREATE INDEX orders_note ON public.orders USING gin (note extensions.gin_trgm_ops);
CREATE VIEW public.alike AS SELECT extensions.similarity(note, 'x') FROM public.orders
WHERE tags OPERATOR(extensions.?) 'a';
"""


def test_a_tls_only_server_of_an_older_version_with_contrib_extensions(
    tls_postgres: TlsPostgres, tmp_path: Path
) -> None:
    database = tls_postgres.create_database("shop")
    run_sql(tls_postgres, "shop", EXTENSIONS)
    proof = take(database, tmp_path, Level.IDENTICAL)
    assert (proof.proven, proof.problems, proof.rows) == (True, (), 300)
    assert proof.stand_ins == ("pgcrypto", "uuid-ossp", "pg_trgm", "citext", "hstore")
    assert proof.expected_errors == (
        'Index orders_note: it needs "extensions.gin_trgm_ops" of pg_trgm, only stood in for.',
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has the parser of a dump run as somebody else")
def test_root_restores_under_another_user(database: str, tmp_path: Path) -> None:
    users: set[int] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if "--use-list=" in (process / "cmdline").read_text(errors="replace"):
                        users.add(process.stat().st_uid)

    fill(database)
    looking = threading.Thread(target=look)
    looking.start()
    try:
        take_backup(database, level=Level.RESTORED, folder=tmp_path, label="user")
    finally:
        over.set()
        looking.join()
    assert users
    assert users - {0}
