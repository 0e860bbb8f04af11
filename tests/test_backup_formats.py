"""Backups in a file and in a folder, plain and sealed: every flip is found, nothing lies about, and they open again."""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyrage
import pytest
from test_backup import SHOP
from test_backup import fill

from ops.backup import BackupProof
from ops.backup import Level
from ops.backup import check_backup
from ops.backup import take_backup
from ops.backup_about import read_about
from ops.backup_dump import PARALLEL_BYTES
from ops.backup_dump import jobs_that_pay
from ops.backup_files import about_file
from ops.backup_files import files_of
from ops.backup_files import require_room
from ops.backup_files import work_folder
from ops.errors import OpsError
from ops.errors import Reason
from ops.tools import wheel_tools
from sandbox.postgres import LocalPostgres

KEY = pyrage.x25519.Identity.generate()


@dataclass(frozen=True)
class Kind:
    level: Level
    jobs: int
    is_sealed: bool

    def __str__(self) -> str:
        return f"{self.level.value}-{'folder' if self.jobs > 1 else 'file'}{'-sealed' * self.is_sealed}"


KINDS = [
    *(Kind(Level.INTACT, jobs, sealed) for jobs in (1, 2) for sealed in (False, True)),
    *(Kind(Level.RESTORED, jobs, sealed) for jobs, sealed in ((1, False), (2, True))),
    *(Kind(Level.IDENTICAL, jobs, sealed) for jobs, sealed in ((1, True), (2, False))),
]


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> "Callable[[], str]":
    database = local_postgres.create_database("formats")
    fill(database, SHOP)
    return lambda: database


def take(database: str, folder: Path, kind: Kind) -> BackupProof:
    keys = [str(KEY.to_public())] if kind.is_sealed else []
    return take_backup(database, level=kind.level, folder=folder, label="shop", jobs=kind.jobs, recipients=keys)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_thirty_of_thirty_flips_are_found_in_what_is_private_and_all_that_is_left(
    shop: Callable[[], str], tmp_path: Path, kind: Kind
) -> None:
    folder = tmp_path / "b"
    proof = take(shop(), folder, kind)
    assert (proof.proven, proof.problems, proof.level) == (True, (), kind.level)
    archive = Path(proof.path)
    assert archive.is_dir() == (kind.jobs > 1)
    assert check_backup(archive, proof.sha256, about_sha256=proof.about_sha256) == ()

    files = [*files_of(archive), about_file(archive)]
    places = [(path, place) for path in files for place in range(path.stat().st_size)]
    chosen = random.Random(str(kind))  # noqa: S311 - places, not secrets
    found = 0
    for path, place in chosen.sample(places, 30):
        whole = path.read_bytes()
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << chosen.randrange(8)]) + whole[place + 1 :])
        found += check_backup(archive, proof.sha256, about_sha256=proof.about_sha256) != ()
        path.write_bytes(whole)
    assert found == 30
    assert check_backup(archive, proof.sha256, about_sha256=proof.about_sha256) == ()

    beside = {archive.name, f"{archive.name}.sha256", f"{archive.name}.about"}
    assert {path.name for path in folder.iterdir()} == beside
    every = [folder, *folder.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in every if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in every if path.is_file()} == {0o600}
    ran = subprocess.run(
        ["sha256sum", "--check", "--strict", f"{archive.name}.sha256"], cwd=folder, capture_output=True, check=False
    )
    assert ran.returncode == 0
    assert proof.sealed_for == ((str(KEY.to_public()),) if kind.is_sealed else ())
    if kind.is_sealed:
        plain = [path for path in every if path.is_file() and path.suffix != ".sha256"]
        assert all(path.read_bytes().startswith(b"age-encryption.org/v1") for path in plain)


def test_a_folder_whose_files_are_others_is_found(shop: Callable[[], str], tmp_path: Path) -> None:
    archive = Path(take(shop(), tmp_path / "b", Kind(Level.INTACT, 2, False)).path)
    rows = [path for path in files_of(archive) if path.name.endswith(".dat.gz")]
    one, other = sorted(rows, key=lambda path: path.stat().st_size)[-2:]
    x = archive / "x"
    changes: list[Callable[[], object]] = [
        lambda: x.write_text("a file more"),
        lambda: (x.unlink(), one.rename(tmp_path / "a file less")),
        lambda: ((tmp_path / "a file less").rename(x), other.rename(one), x.rename(other)),  # two are swapped
    ]
    for change in changes:
        change()
        assert "its checksum is another" in check_backup(archive)[0]


def test_what_it_must_hold_is_kept_beside_it(shop: Callable[[], str], tmp_path: Path) -> None:
    proof = take(shop(), tmp_path / "b", Kind(Level.IDENTICAL, 1, False))
    about = read_about(about_file(Path(proof.path)))
    assert sum(content.rows for content in about.contents.values()) == proof.rows
    assert all(content.hash is not None for content in about.contents.values())
    assert "public.orders" in {str(table) for table in about.catalog.tables}
    about_file(Path(proof.path)).write_text('{"catalog": 3}')
    with pytest.raises(OpsError) as caught:
        read_about(about_file(Path(proof.path)))
    assert caught.value.reason is Reason.BACKUP_DAMAGED


def test_what_is_not_proven_is_not_kept(database: str, tmp_path: Path) -> None:
    fill(
        database,
        "SET check_function_bodies = off;"
        "CREATE FUNCTION public.limit_of() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 10';"
        "CREATE FUNCTION public.fits(a int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN RETURN a < limit_of(); END';"
        "CREATE TABLE public.t (a int CHECK (public.fits(a)));"
        "INSERT INTO public.t VALUES (1);",
    )
    proof = take(database, tmp_path / "b", Kind(Level.RESTORED, 2, True))
    assert not proof.proven
    assert "Restoring failed at table data t: function limit_of() does not exist" in proof.problems
    assert list((tmp_path / "b").iterdir()) == []


def test_a_table_that_somebody_queues_for_is_dumped_by_one_process(shop: Callable[[], str], tmp_path: Path) -> None:
    """Several processes of pg_dump take no part in a line for a lock, and fail; one waits its time."""
    tools = wheel_tools()
    assert tools is not None
    folder = tmp_path / "bin"
    folder.mkdir()
    said = 'case "$*" in *--jobs=*) echo "pg_dump: error: could not obtain lock on relation \\"orders\\"" >&2; exit 1;; esac'
    for name, line in (("pg_dump", said), ("pg_restore", "")):
        (folder / name).write_text(f'#!/bin/sh\n{line}\nexec "{tools.bin / name}" "$@"\n')
        (folder / name).chmod(0o755)
    proof = take_backup(shop(), level=Level.INTACT, folder=tmp_path / "b", label="x", tools_bin=str(folder), jobs=2)
    assert (proof.proven, proof.jobs, Path(proof.path).is_file()) == (True, 1, True)


def test_several_processes_are_for_large_databases_with_several_tables() -> None:
    cores = os.cpu_count() or 1
    assert jobs_that_pay(PARALLEL_BYTES - 1, 100) == 1
    assert jobs_that_pay(PARALLEL_BYTES, 1) == 1
    assert jobs_that_pay(PARALLEL_BYTES, 100) == min(cores, 4)


def test_what_a_killed_process_left_is_removed_and_what_is_at_work_stays(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from ops.backup_files import work_folder\n"
        "with work_folder(Path(sys.argv[1])) as work:\n"
        "    (work / 'rows').write_text('secret'); os._exit(9)"
    )
    env = {"PYTHONPATH": str(Path(__file__).parent.parent), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=env, check=False)
    assert [path.read_text() for path in tmp_path.rglob("rows")] == ["secret"]
    with work_folder(tmp_path) as first:
        assert list(tmp_path.rglob("rows")) == []
        with work_folder(tmp_path):
            assert first.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_room_is_counted_together_on_one_file_system(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    half = free * 6 // 10
    require_room([(tmp_path / "not" / "yet", half, "the backup")])
    with pytest.raises(OpsError, match=r"There is no room for the trial: .* MB free, and it takes up to") as caught:
        require_room([(tmp_path, half, "the backup"), (tmp_path / "other", half, "the trial")])
    assert caught.value.reason is Reason.BACKUP_NOT_PROVEN


def test_the_proof_goes_into_the_log_as_it_is(shop: Callable[[], str], tmp_path: Path) -> None:
    proof = take(shop(), tmp_path / "b", Kind(Level.INTACT, 2, True))
    told = json.loads(json.dumps(proof.to_json()))
    assert told["sealed_for"] == [str(KEY.to_public())]
    assert told["jobs"] == 2
    assert "AGE-SECRET" not in json.dumps(told)


def test_the_target_is_only_read_by_several_sessions(shop: Callable[[], str], tmp_path: Path) -> None:
    """All of them are gone when the proof begins."""
    seen: list[int] = []
    with psycopg.connect(shop(), autocommit=True) as connection:

        def look(words: str, _share: float | None) -> None:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'countersign%'"
            ).fetchone()
            if words.startswith("reading the backup again"):
                seen.append(row[0] if row else -1)

        take_backup(shop(), level=Level.INTACT, folder=tmp_path / "b", label="x", jobs=2, progress=look)
    assert set(seen) == {0}
