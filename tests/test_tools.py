"""Finding Postgres programs, and running them without showing a secret."""

import os
import stat
import time
from pathlib import Path
from types import MappingProxyType

import psycopg
import pytest
from postgres_fixtures import run_sql

from ops.errors import OpsError
from ops.errors import Reason
from ops.isolation import reached_isolation
from ops.isolation import unused_uid
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import find_scratch_tools
from ops.tools import find_tools
from ops.tools import run_tool
from ops.tools import wheel_tools
from sandbox.postgres import LocalPostgres

PASSWORD = "hunter2:\\ /?é"


def programs(folder: Path, body: str, names: tuple[str, ...] = ("pg_dump", "pg_restore")) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def only_path(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No Postgres of this machine is seen but what a test puts on PATH."""
    monkeypatch.setattr("ops.tools._SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")
    return monkeypatch


def script_tools(folder: Path, body: str) -> Tools:
    return Tools(programs(folder, body), 18, MappingProxyType({"PATH": os.environ["PATH"]}))


def test_a_system_tool_of_the_targets_version_goes_before_a_newer_one(
    only_path: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    older = programs(tmp_path / "16", "echo 'pg_dump (PostgreSQL) 16.3 (Debian 16.3-1)'")
    newer = programs(tmp_path / "17", "echo 'pg_dump (PostgreSQL) 17.2'")
    only_path.setenv("PATH", f"{newer}:{older}")
    assert [find_tools(version).bin for version in (15, 16, 17)] == [older, older, newer]


def test_an_older_system_tool_is_passed_over_for_the_wheel(only_path: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only_path.setenv("PATH", str(programs(tmp_path / "15", "echo 'pg_dump (PostgreSQL) 15.18'")))
    assert find_tools(17) == wheel_tools()


def test_debians_wrapper_is_not_taken_for_a_program(only_path: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrapper = programs(tmp_path / "bin", "echo 'pg_dump (PostgreSQL) 17.2'", ("pg_wrapper", "pg_restore"))
    (wrapper / "pg_dump").symlink_to(wrapper / "pg_wrapper")
    only_path.setenv("PATH", str(wrapper))
    assert find_tools(17) == wheel_tools()


def test_a_server_newer_than_every_tool_is_refused_with_a_package_to_install() -> None:
    with pytest.raises(OpsError, match="No pg_dump here can read a PostgreSQL 99 server") as caught:
        find_tools(99)
    assert caught.value.reason is Reason.TOOLS_MISSING
    assert "postgresql-client-99" in caught.value.hint


def test_a_configured_folder_is_used_or_refused_never_replaced(tmp_path: Path) -> None:
    configured = programs(tmp_path / "16", "echo 'pg_dump (PostgreSQL) 16.3'")
    assert find_tools(16, str(configured)).bin == configured
    for folder, version in ((configured, 17), (tmp_path, 16)):
        with pytest.raises(OpsError) as caught:
            find_tools(version, str(folder))
        assert caught.value.reason is Reason.TOOLS_MISSING


def test_an_old_server_is_never_a_scratch_server(only_path: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = ("pg_dump", "pg_restore", "initdb", "postgres")
    only_path.setenv("PATH", str(programs(tmp_path / "15", "echo 'pg_dump (PostgreSQL) 15.18'", server)))
    assert find_scratch_tools([]) == wheel_tools()


def test_an_installed_server_is_scratch_only_with_every_extension(
    only_path: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = ("pg_dump", "pg_restore", "initdb", "postgres")
    folder = programs(tmp_path / "17" / "bin", "echo 'pg_dump (PostgreSQL) 17.2'", server)
    extensions = tmp_path / "17" / "share" / "postgresql" / "extension"
    extensions.mkdir(parents=True)
    (extensions / "pgcrypto.control").touch()
    only_path.setenv("PATH", str(folder))
    assert find_scratch_tools(["pgcrypto"]).bin == folder
    assert find_scratch_tools(["pgcrypto", "postgis"]) == wheel_tools()


def test_a_child_gets_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLACK_BOT_TOKEN", "SHOP_PROD_DATABASE_URL", "HTTPS_PROXY", "PGPASSWORD"):
        monkeypatch.setenv(name, "leaked")
    wheel = wheel_tools()
    assert wheel is not None
    tools = Tools(programs(tmp_path / "bin", "env"), 18, wheel.environment)
    finished = run_tool(tools, "pg_dump", [], timeout_seconds=10)
    assert "PATH=" in finished.stdout
    assert "leaked" not in finished.stdout


def test_the_password_is_only_in_a_private_file_that_goes_away() -> None:
    url = "postgresql://ana:s%3Aecret@127.0.0.1:1/shop?sslmode=disable"
    with connection_files(url) as connection:
        passfile, service = (Path(connection.environment[name]) for name in ("PGPASSFILE", "PGSERVICEFILE"))
        assert "s:ecret" not in repr(connection) + "".join(connection.arguments) + str(connection.environment)
        assert "s:ecret" not in service.read_text()
        assert [stat.S_IMODE(path.stat().st_mode) for path in (passfile, service)] == [0o600, 0o600]
        assert stat.S_IMODE(passfile.parent.stat().st_mode) == 0o700
        assert passfile.read_text() == "*:*:*:*:s\\:ecret\n"
    assert not passfile.parent.exists()


def test_an_odd_password_reaches_the_server_through_the_file(local_postgres: LocalPostgres) -> None:
    escaped = PASSWORD.replace("'", "''")
    run_sql(local_postgres, "postgres", f"CREATE ROLE odd LOGIN PASSWORD '{escaped}'")
    url = psycopg.conninfo.make_conninfo(local_postgres.url("postgres", "odd"), password=PASSWORD)
    tools = find_tools(18)
    with connection_files(url) as connection:
        finished = run_tool(tools, "psql", ["-Atc", "SELECT current_user"], connection=connection, timeout_seconds=10)
    assert (finished.exit_code, finished.stdout) == (0, "odd\n")


def test_what_a_tool_says_is_masked(tmp_path: Path) -> None:
    tools = script_tools(tmp_path / "bin", "cat $PGPASSFILE; cat $PGPASSFILE >&2; echo s%C3%A9same")
    with connection_files("postgresql://ana:s%C3%A9same@127.0.0.1:1/shop") as connection:
        finished = run_tool(tools, "pg_dump", [], connection=connection, timeout_seconds=10)
    assert "•••" in finished.stdout
    assert "same" not in finished.stdout + finished.stderr


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("sleep 60 & sleep 60", Reason.UNEXPECTED, id="takes too long"),
        pytest.param("yes", Reason.UNEXPECTED, id="prints too much"),
        pytest.param("echo started; exec sleep 60", Reason.STOPPED, id="is stopped"),
    ],
)
def test_a_child_that_must_end_ends_with_all_of_its_own(tmp_path: Path, body: str, reason: Reason) -> None:
    mark = tmp_path / "pid"
    tools = script_tools(tmp_path / "bin", f"echo $$ > {mark}; {body}")
    stop = mark.exists if reason is Reason.STOPPED else (lambda: False)
    started = time.monotonic()
    with pytest.raises(OpsError) as caught:
        run_tool(tools, "pg_dump", [], timeout_seconds=1, output_limit_bytes=10_000_000, stop=stop)
    assert caught.value.reason is reason
    assert time.monotonic() - started < 5
    group = int(mark.read_text())
    while _group_lives(group) and time.monotonic() - started < 5:  # dying takes a moment
        time.sleep(0.02)
    assert not _group_lives(group)


def test_isolation_says_what_it_reached() -> None:
    isolation = reached_isolation()
    reached = (isolation.own_uid, isolation.own_network, isolation.memory_limit)
    assert isolation.own_uid == (os.geteuid() == 0)
    assert isolation.level == ("full" if all(reached) else "partial" if any(reached) else "none")
    assert ("no network" in isolation.sentence) == isolation.own_network
    assert unused_uid() != os.geteuid()


def _group_lives(group: int) -> bool:
    """Whether a process of this group still runs; zombies that nobody collected do not count."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = status.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False
