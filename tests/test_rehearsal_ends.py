"""Rows on a copy, what is refused before it begins, and that nothing is left of it, however it ends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from apply_helpers import migration
from postgres_fixtures import open_folder

from ops import isolation
from ops.database import Connection
from ops.errors import OpsError
from ops.errors import Reason
from ops.rehearsal.copy import COPY_LIMITS
from ops.rehearsal.copy import open_copy
from ops.rehearsal.rehearse import rehearse_files
from ops.rehearsal.report import Outcome
from ops.scratch import Scratch
from ops.scratch_removal import MEMORY
from ops.scratch_removal import PREFIX

ROOT = Path(__file__).parents[1]
DISK = "/var/tmp"  # noqa: S108 (copies make folders of their own in it)
PROJECT: LiteralString = """
CREATE SCHEMA supabase_migrations;
CREATE TABLE supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text);
INSERT INTO supabase_migrations.schema_migrations VALUES ('20260101000000', '{select 1}', 'first');
CREATE TABLE public.orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  owner uuid REFERENCES auth.users (id),
  total numeric CHECK (total >= 0)
);
CREATE FUNCTION public.loud() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''fired''; END';
ALTER TABLE public.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE MATERIALIZED VIEW public.totals AS SELECT sum(total) AS total FROM public.orders;
"""


def test_rows_are_there_when_asked_for_and_lie_in_memory(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(PROJECT)
        connection.execute("INSERT INTO auth.users (id) VALUES (gen_random_uuid())")
        connection.execute(
            "INSERT INTO public.orders (owner, total) SELECT id, 7 FROM auth.users, generate_series(1, 500)"
        )
    with open_copy(database, with_data=True) as copy, contextlib.closing(copy.connect()) as connection:
        assert copy.is_exact, copy.inexact_because
        assert _answer(connection, "SELECT count(*) FROM public.orders") == 500
        assert (
            _answer(connection, "SELECT statements[1] FROM supabase_migrations.schema_migrations ORDER BY 1")
            == "select 1"
        )
        assert _answer(connection, "SELECT total FROM public.totals") == 3500
        assert copy.notes == ()
        assert copy.scratch.root.parent == MEMORY
        assert not (copy.scratch.work / "rows").exists()
        root = copy.scratch.root
    assert not root.exists()


def test_rows_without_room_in_memory_are_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.rehearsal.memory.available_memory", lambda: 50 * 2**20)
    with (
        pytest.raises(OpsError, match=r"GB in memory, and may use 0\.0 GB there") as caught,
        open_copy(database, with_data=True),
    ):
        pass
    assert caught.value.reason is Reason.NOT_ALLOWED


def test_a_copy_with_rows_may_use_what_it_needs_and_leaves_most_to_others(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also as a rehearsal opens it, with no limits of its own but those of time."""
    seen = []
    real = Scratch.__enter__

    def enter(scratch: Scratch) -> Scratch:
        seen.append(scratch.limits)
        return real(scratch)

    monkeypatch.setattr(Scratch, "__enter__", enter)
    assert rehearse_files(lambda: database, [migration("select 1")], with_data=True).outcome is Outcome.PASSED
    assert 2 * 2**30 <= seen[0].disk_bytes < 3 * 2**30
    assert seen[0].seconds > 3600

    monkeypatch.setattr("ops.rehearsal.memory.available_memory", lambda: 4 * 2**30)
    with open_copy(database, with_data=True) as copy:
        assert copy.scratch.limits.disk_bytes == 2**30
    monkeypatch.setattr(tempfile, "tempdir", DISK)
    with open_folder() as folder:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 3 * 2**30))
        with open_copy(database, with_data=True, data_folder=folder) as copy:
            assert copy.scratch.limits.disk_bytes == 3 * 2**30 // 2
    monkeypatch.setattr("ops.rehearsal.memory.available_memory", lambda: 0)
    with open_copy(database) as copy:
        assert copy.scratch.limits.disk_bytes == 3 * 2**30 // 2


def test_rows_may_lie_in_a_folder_that_is_declared_encrypted(database: str) -> None:
    with open_folder() as folder:
        left = folder / f"{PREFIX}left"
        left.mkdir()
        (left / "owner").write_text(json.dumps({"pid": 1, "started": "long ago", "socket": ""}))
        with open_copy(database, with_data=True, data_folder=folder) as copy:
            assert copy.scratch.root.parent == folder
            assert not left.exists()
        assert list(folder.iterdir()) == []


def test_a_copy_without_rows_goes_to_disk_where_memory_is_short(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.rehearsal.memory.available_memory", lambda: 2 * 2**30)
    monkeypatch.setattr(tempfile, "tempdir", DISK)
    with open_copy(database) as copy:
        assert copy.scratch.root.parent == Path(DISK)
        assert copy.scratch.limits == COPY_LIMITS


def test_a_copy_in_memory_may_use_a_quarter_of_it(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.rehearsal.memory.available_memory", lambda: 6 * 2**30)
    with open_copy(database) as copy:
        if copy.scratch.root.parent != MEMORY:
            pytest.skip("this system has no file system in memory with room for a copy")
        assert copy.scratch.limits.disk_bytes == 1536 * 2**20


def test_less_isolation_than_demanded_begins_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = isolation.Isolation(False, False, True, "partial", "Scratch databases run somehow.")
    monkeypatch.setattr("ops.isolation.reached_isolation", lambda: weak)
    with (
        pytest.raises(
            OpsError, match="isolated here as partial, and full is demanded: there is no a user id"
        ) as caught,
        open_copy(database, demand="full"),
    ):
        pass
    assert caught.value.reason is Reason.NOT_ALLOWED


def test_a_stop_ends_it_and_leaves_nothing(database: str) -> None:
    before = _scratches(os.getpid())
    with pytest.raises(OpsError) as caught, open_copy(database, stop=lambda: True):
        pass
    assert caught.value.reason is Reason.STOPPED
    assert _scratches(os.getpid()) == before


@pytest.mark.parametrize("with_data", [False, True], ids=["schema", "rows"])
@pytest.mark.parametrize("moment", ["restoring the schema", "open"])
def test_of_a_killed_rehearsal_the_next_one_leaves_nothing(database: str, moment: str, with_data: bool) -> None:
    program = (
        "import sys, time\n"
        "from ops.rehearsal.copy import open_copy\n"
        "def tell(words):\n"
        "    print(words, flush=True)\n"
        "    if words.startswith(sys.argv[2]):\n"
        "        time.sleep(60)\n"
        "with open_copy(sys.argv[1], with_data=sys.argv[3] == 'True', progress=tell) as copy:\n"
        "    tell('open')\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, database, moment, str(with_data)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout:
        next(line for line in child.stdout if line.startswith(moment))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    (root,) = _scratches(child.pid)
    postmaster = int((root / "data" / "postmaster.pid").read_text().split()[0])
    with open_copy(database):
        pass
    assert not root.exists()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{postmaster}/cwd").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{postmaster}/cwd").exists()


def _scratches(pid: int) -> set[Path]:
    """Those of one process; other ones on this machine are none of ours."""
    found = set()
    for folder in (Path(tempfile.gettempdir()), MEMORY):
        for root in folder.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError, ValueError):
                if json.loads((root / "owner").read_text())["pid"] == pid:
                    found.add(root)
    return found


def _answer(connection: Connection, query: LiteralString) -> object:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
