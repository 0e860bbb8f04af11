"""Scratch clusters: hostile SQL stays inside, limits end them, and nothing is left of them."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from postgres_fixtures import open_folder
from ready_clusters import begin_as_told
from ready_clusters import begin_with_copies

from ops.errors import OpsError
from ops.errors import Reason
from ops.isolation import reached_isolation
from ops.scratch import Limits
from ops.scratch import Scratch
from ops.scratch_removal import PREFIX
from ops.scratch_removal import reap_scratches
from ops.tools import find_scratch_tools
from ops.tools import wheel_tools

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _made_as_told() -> Iterator[None]:
    """What other tests begin with a copy is made here as the product makes it."""
    begin_as_told()
    yield
    begin_with_copies()


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """A place for clusters that a server with a user id of its own can pass."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def scratch(shared_folder: Path) -> Iterator[Scratch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLACK_BOT_TOKEN", "xoxb-leaked")
        with Scratch(find_scratch_tools([]), roles=["anon", 'odd"; name', "pg_monitor"], folder=shared_folder) as one:
            one.create_database("copy")
            yield one


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY pg_temp.t FROM PROGRAM 'id'",
        "COPY pg_temp.t FROM '/etc/passwd'",
        "COPY pg_temp.t TO '/tmp/countersign-was-here'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "GRANT pg_execute_server_program TO postgres",
        "GRANT pg_read_server_files TO anon",
        "ALTER ROLE postgres SUPERUSER",
        "CREATE ROLE other SUPERUSER",
        "ALTER SYSTEM SET listen_addresses = '*'",
        "LOAD '/tmp/library.so'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
        "SET session_preload_libraries = 'x'",
    ],
)
def test_foreign_sql_cannot_leave_the_cluster(scratch: Scratch, statement: LiteralString) -> None:
    with psycopg.connect(scratch.url("copy"), autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE t (line text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_the_foreign_role_may_work_and_become_the_targets_roles(scratch: Scratch) -> None:
    with psycopg.connect(scratch.url("copy"), autocommit=True) as connection:
        connection.execute("CREATE TABLE public.orders (id int)")
        connection.execute('GRANT SELECT ON public.orders TO anon, "odd""; name"')
        connection.execute("SET ROLE anon")
        assert connection.execute("SELECT count(*) FROM public.orders").fetchone() == (0,)


def test_no_login_without_its_password(scratch: Scratch) -> None:
    for name in ("postgres", "anon"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(psycopg.conninfo.make_conninfo(scratch.url("copy"), user=name, password="guess"))


def test_settings_of_foreign_sql_have_no_say_in_our_sessions(scratch: Scratch) -> None:
    bent = {
        "statement_timeout": "1ms",
        "lock_timeout": "1ms",
        "transaction_timeout": "1ms",
        "idle_in_transaction_session_timeout": "1ms",
        "idle_session_timeout": "1ms",
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        "default_transaction_read_only": "on",
        "standard_conforming_strings": "off",
        "transform_null_equals": "on",
        "exit_on_error": "on",
        "client_encoding": "SQL_ASCII",
        "search_path": "pg_temp",
    }
    if scratch.tools.version < 17:
        del bent["transaction_timeout"]
    scratch.create_database("bent")
    with psycopg.connect(scratch.url("bent"), autocommit=True) as connection:
        for name, value in bent.items():
            connection.execute(f"ALTER DATABASE bent SET {name} = '{value}'".encode())
    with psycopg.connect(scratch.superuser_url("bent"), autocommit=True) as connection:
        shown = {name: connection.execute(f"SHOW {name}".encode()).fetchone() for name in bent}
        assert [name for name, value in bent.items() if shown[name] == (value,)] == []
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute("nonsense")
        time.sleep(0.05)
        assert connection.execute("SELECT pg_catalog.pg_sleep(0.05)::text, 'é'").fetchone() == ("", "é")


def test_the_server_has_no_network_no_secrets_and_its_own_user(scratch: Scratch) -> None:
    pid = (scratch.data / "postmaster.pid").read_text().split()[0]
    isolation = reached_isolation()
    with psycopg.connect(scratch.superuser_url()) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert "leaked" not in Path(f"/proc/{pid}/environ").read_text()
    assert (os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")) == isolation.own_network
    assert (os.stat(f"/proc/{pid}").st_uid != os.geteuid()) == isolation.own_uid
    assert scratch.data.stat().st_mode & 0o777 == 0o700
    if isolation.memory_limit:
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert f"Max address space         {Limits().memory_bytes}" in limits


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a server as somebody else")
def test_programs_in_a_closed_home_are_copied(shared_folder: Path) -> None:
    wheel = wheel_tools()
    assert wheel is not None
    home = shared_folder / "home"
    package = wheel.bin.parents[1]
    shutil.copytree(wheel.bin.parent, home / package.name / wheel.bin.parent.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), home / f"{package.name}.libs")
    home.chmod(0o700)
    closed = dataclasses.replace(wheel, bin=home / package.name / wheel.bin.parent.name / "bin")
    with Scratch(closed, folder=shared_folder) as one, psycopg.connect(one.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert one.tools.bin.is_relative_to(one.root)


def test_a_cluster_from_a_template_is_as_good_as_a_new_one_and_has_its_own_password(shared_folder: Path) -> None:
    template = shared_folder / "templates"
    passwords, names = set(), set()
    for _ in range(2):
        with Scratch(find_scratch_tools([]), folder=shared_folder, template=template) as one:
            given = psycopg.conninfo.conninfo_to_dict(one.superuser_url())
            names.add(given["user"])
            passwords.add(given["password"])
            with psycopg.connect(one.url(), autocommit=True) as connection:
                connection.execute("CREATE TABLE public.here (id int)")
    assert len(names) == 1
    assert len(passwords) == 2
    (kept,) = template.iterdir()
    assert template.stat().st_mode & 0o777 == kept.stat().st_mode & 0o777 == 0o700
    assert not passwords & {json.loads((kept / "superuser").read_text())["password"]}


def test_a_template_that_is_damaged_or_open_to_others_is_not_used(shared_folder: Path) -> None:
    template = shared_folder / "others"
    with Scratch(find_scratch_tools([]), folder=shared_folder, template=template):
        pass
    (kept,) = template.iterdir()
    (kept / "superuser").write_text("{}")
    template.chmod(0o755)
    for mode in (0o755, 0o700):
        template.chmod(mode)
        with (
            Scratch(find_scratch_tools([]), folder=shared_folder, template=template) as one,
            psycopg.connect(one.url()) as connection,
        ):
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_older_server_is_refused() -> None:
    wheel = wheel_tools()
    assert wheel is not None
    with pytest.raises(OpsError, match="needs PostgreSQL 16 or newer"):
        Scratch(type(wheel)(wheel.bin, 15, wheel.environment))


def test_nothing_survives_the_end_even_in_a_deep_folder(shared_folder: Path) -> None:
    deep = shared_folder / ("d" * 90)
    deep.mkdir(mode=0o755)
    with Scratch(find_scratch_tools([]), folder=deep) as one:
        pid = int((one.data / "postmaster.pid").read_text().split()[0])
        socket_folder = Path(str(psycopg.conninfo.conninfo_to_dict(one.url())["host"]))
        assert socket_folder.is_dir()
    assert list(deep.iterdir()) == []
    assert not socket_folder.exists()
    assert not _runs(pid)


@pytest.mark.parametrize(
    ("limits", "statement"),
    [
        pytest.param(Limits(seconds=1.5), "SELECT pg_sleep(20)", id="time"),
        pytest.param(
            Limits(disk_bytes=140 * 2**20),
            "CREATE TABLE big AS SELECT repeat('x', 1000) FROM generate_series(1, 5000000)",
            id="disk",
        ),
    ],
)
def test_a_limit_ends_the_cluster(shared_folder: Path, limits: Limits, statement: LiteralString) -> None:
    started = time.monotonic()

    def work() -> None:
        with (
            Scratch(find_scratch_tools([]), folder=shared_folder, limits=limits) as one,
            psycopg.connect(one.url(), autocommit=True) as connection,
        ):
            connection.execute(statement)

    with pytest.raises(OpsError, match="its limit") as caught:
        work()
    assert caught.value.reason is Reason.UNEXPECTED
    assert time.monotonic() - started < 15


def test_a_statement_ends_at_its_own_limit(shared_folder: Path) -> None:
    limits = Limits(statement_seconds=0.2)
    with (
        Scratch(find_scratch_tools([]), folder=shared_folder, limits=limits) as one,
        psycopg.connect(one.url()) as connection,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        connection.execute("SELECT pg_sleep(20)")


def test_the_reaper_removes_what_a_killed_process_left_and_only_that(shared_folder: Path) -> None:
    folder = shared_folder / "reaped"
    folder.mkdir(mode=0o755)
    with Scratch(find_scratch_tools([]), folder=folder) as living:
        orphan, postmaster = _killed_scratch(folder)
        assert _runs(postmaster)
        assert reap_scratches(folder) == 1
        assert not _runs(postmaster)
        assert not orphan.exists()
        with psycopg.connect(living.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert reap_scratches(folder) == 0


def test_two_reapers_at_once_are_not_in_each_others_way(tmp_path: Path) -> None:
    for number in range(300):
        left = tmp_path / f"{PREFIX}{number}"
        left.mkdir()
        (left / "owner").write_text(json.dumps({"pid": 1, "started": "long ago", "socket": ""}))
    with ThreadPoolExecutor(4) as pool:
        reaped = [one.result() for one in [pool.submit(reap_scratches, tmp_path) for _ in range(4)]]
    assert sum(reaped) >= 300
    assert list(tmp_path.iterdir()) == []


def test_the_reaper_ends_no_process_that_a_bent_file_names(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        root = tmp_path / "countersign-scratch-bent"
        (root / "data").mkdir(parents=True)
        (root / "owner").write_text(json.dumps({"pid": bystander.pid, "started": "0", "socket": ""}))
        (root / "data" / "postmaster.pid").write_text(f"{bystander.pid}\n")
        assert reap_scratches(tmp_path) == 1
        assert bystander.poll() is None
        assert not root.exists()
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_the_reaper_believes_no_folder_of_another_user(tmp_path: Path) -> None:
    root = tmp_path / "countersign-scratch-planted"
    root.mkdir()
    os.chown(root, 62_001, 62_001)
    assert reap_scratches(tmp_path) == 0
    assert root.exists()


def _killed_scratch(folder: Path) -> tuple[Path, int]:
    """The folder and the postmaster of a cluster whose process died without a chance to clean up."""
    program = (
        "import sys, time; from pathlib import Path; from ops.scratch import Scratch;"
        "from ops.tools import find_scratch_tools\n"
        "with Scratch(find_scratch_tools([]), folder=Path(sys.argv[1])) as one:\n"
        "    print(one.root, (one.data / 'postmaster.pid').read_text().split()[0], flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        root, pid = child.stdout.readline().split()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    return Path(root), int(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
