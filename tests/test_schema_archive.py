"""Reading pg_dump's custom archives: every format since PostgreSQL 12, and files that mean harm."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from postgres_fixtures import open_folder

from ops.errors import OpsError
from ops.errors import Reason
from ops.schema.archive import read_archive
from ops.schema.model import Key
from ops.tools import Tools
from ops.tools import connection_files
from ops.tools import find_tools
from ops.tools import run_tool
from ops.tools import wheel_tools
from sandbox.postgres import LocalPostgres

TABLE = {"kind": "TABLE", "schema": "public", "tag": "orders", "definition": "CREATE TABLE public.orders ();\n"}


def integer(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(4, "little")


def text(value: str | None) -> bytes:
    return integer(-1) if value is None else integer(len(value.encode())) + value.encode()


def archive(version: tuple[int, int], *entries: dict[str, str], count: int | None = None) -> bytes:
    """An archive as PostgreSQL's documentation of the format has it, the entries numbered from 1."""
    head = b"PGDMP" + bytes([*version, 0, 4, 8, 1])
    head += b"\0" if version >= (1, 15) else integer(0)
    head += integer(0) * 7 + text("shop") + text("17.4") + text("18.4")
    body = integer(len(entries) if count is None else count)
    for number, entry in enumerate(entries, start=1):
        body += integer(int(entry.get("number", number))) + integer(0) + text("1259") + text(str(16000 + number))
        body += text(entry["tag"]) + text(entry["kind"]) + integer(2) + text(entry["definition"])
        body += text(entry.get("drop", "")) + text(None) + text(entry.get("schema")) + text(None) + text("heap")
        body += integer(ord("r")) if version >= (1, 16) else b""
        body += text(entry.get("owner", "postgres")) + text("false")
        body += b"".join(text(need) for need in entry.get("needs", "").split()) + text(None)
        body += b"\3" + bytes(8)
    return head + body


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def written(content: bytes) -> Path:
        path = tmp_path / "schema.dump"
        path.write_bytes(content)
        return path

    return written


@pytest.mark.parametrize("version", [(1, 14), (1, 15), (1, 16)])
def test_every_format_says_the_same(write: Callable[[bytes], Path], version: tuple[int, int]) -> None:
    schema = read_archive(write(archive(version, TABLE | {"drop": "DROP TABLE public.orders;\n"})))
    (entry,) = schema.entries.values()
    assert (schema.database, schema.server) == ("shop", "17.4")
    assert entry.key == Key("table", "public", "orders")
    assert (entry.owner, entry.access_method, entry.tablespace) == ("postgres", "heap", "")
    assert (entry.definition, entry.drop) == ("CREATE TABLE public.orders ();\n", "DROP TABLE public.orders;\n")


def dumped(tools: Tools, url: str, path: Path, *arguments: str) -> Path:
    with connection_files(url) as connection:
        arguments = ("--format=custom", f"--file={path}", *arguments)
        finished = run_tool(tools, "pg_dump", arguments, connection=connection, timeout_seconds=60)
    assert finished.exit_code == 0, finished.stderr
    return path


@pytest.mark.parametrize("version", [15, 16, 18])
def test_a_real_archive_holds_what_its_own_tool_lists(version: int, tmp_path: Path) -> None:
    """pg_dump 15 writes format 1.14, 16 writes 1.15, 18 writes 1.16; pg_restore --list is the judge."""
    tools = wheel_tools(version) or find_tools(version)
    if tools.version != version:
        pytest.skip(f"no pg_dump of PostgreSQL {version}")
    with open_folder() as folder, LocalPostgres(folder / "cluster", bin_folder=tools.bin, fast=True) as server:
        url = server.create_database("shop")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE public.orders (id int PRIMARY KEY, note text DEFAULT 'é')")
            connection.execute("CREATE TABLE public.lines (of int REFERENCES public.orders)")
            connection.execute("INSERT INTO public.orders VALUES (1)")
        path = dumped(tools, url, tmp_path / "whole.dump")
    command = [tools.program("pg_restore"), "--list", str(path)]
    listing = subprocess.run(command, env=tools.environment, check=True, capture_output=True, text=True).stdout
    listed = [line for line in listing.splitlines() if line and not line.startswith(";") and " DATA " not in line]
    entries = read_archive(path).entries
    assert len(entries) == len(listed)
    assert "note text DEFAULT 'é'::text" in entries[Key("table", "public", "orders")].definition
    foreign_key = entries[Key("fk constraint", "public", "lines lines_of_fkey")]
    assert foreign_key.parent == Key("table", "public", "lines")
    assert Key("constraint", "public", "orders orders_pkey") in foreign_key.needs


def test_a_body_that_looks_like_a_dump_is_only_a_body(write: Callable[[bytes], Path]) -> None:
    body = "CREATE FUNCTION public.f() AS $$\n--\n-- Name: users; Type: TABLE; Schema: public; Owner: -\n--\n$$;\n"
    function = {"kind": "FUNCTION", "schema": "public", "tag": "f()", "definition": body}
    assert set(read_archive(write(archive((1, 16), function))).entries) == {Key("function", "public", "f()")}


def test_rows_and_session_settings_are_no_objects(write: Callable[[bytes], Path]) -> None:
    kinds = ("ENCODING", "STDSTRINGS", "SEARCHPATH", "TABLE DATA", "SEQUENCE SET", "BLOB METADATA", "STATISTICS DATA")
    entries = [{"kind": kind, "tag": kind, "definition": "SET x;"} for kind in kinds]
    assert set(read_archive(write(archive((1, 16), *entries, TABLE))).entries) == {Key("table", "public", "orders")}


def test_names_that_look_the_same_stay_two_objects(write: Callable[[bytes], Path]) -> None:
    """Constraint `c` of table `a b`, and constraint `b c` of table `a`: both have the tag `a b c`."""
    entries = (
        TABLE | {"tag": "a b"},
        TABLE | {"tag": "a"},
        {"kind": "CONSTRAINT", "schema": "public", "tag": "a b c", "definition": "one", "needs": "1"},
        {"kind": "CONSTRAINT", "schema": "public", "tag": "a b c", "definition": "two", "needs": "2"},
    )
    found = read_archive(write(archive((1, 16), *entries))).entries
    constraints = {entry.own_name: entry for key, entry in found.items() if key.kind == "constraint"}
    assert {name: entry.definition for name, entry in constraints.items()} == {"c": "one", "b c": "two"}


def test_default_privileges_are_told_apart_by_their_role(write: Callable[[bytes], Path]) -> None:
    entry = {"kind": "DEFAULT ACL", "schema": "public", "tag": "DEFAULT PRIVILEGES FOR TABLES", "definition": "x"}
    found = read_archive(write(archive((1, 16), entry | {"owner": "ana"}, entry | {"owner": "ben"}))).entries
    assert {key.owner for key in found} == {"ana", "ben"}


def test_an_archive_cut_anywhere_is_refused(write: Callable[[bytes], Path]) -> None:
    whole = archive((1, 16), TABLE)
    for length in range(len(whole)):
        with pytest.raises(OpsError) as refused:
            read_archive(write(whole[:length]))
        assert refused.value.reason is Reason.UNEXPECTED


def test_an_archive_with_a_wrong_byte_ends_in_a_schema_or_a_refusal(write: Callable[[bytes], Path]) -> None:
    whole = archive((1, 16), TABLE, TABLE | {"tag": "lines", "needs": "1"})
    refused = 0
    for place in range(len(whole)):
        for value in (0x00, 0x7F, 0xFF):
            try:
                read_archive(write(whole[:place] + bytes([value]) + whole[place + 1 :]))
            except OpsError:
                refused += 1
    assert refused > 200  # most of the rest are letters of names and definitions


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", Reason.UNEXPECTED, id="empty"),
        pytest.param(b"--\n-- PostgreSQL database dump\n--\n", Reason.UNEXPECTED, id="a dump in plain text"),
        pytest.param(archive((1, 17), TABLE), Reason.TOOLS_MISSING, id="a newer format"),
        pytest.param(archive((1, 12), TABLE), Reason.TOOLS_MISSING, id="an older format"),
        pytest.param(archive((1, 16), TABLE, count=2**31), Reason.UNEXPECTED, id="two billion entries"),
        pytest.param(archive((1, 16), TABLE, count=-1), Reason.UNEXPECTED, id="fewer than no entries"),
        pytest.param(archive((1, 16), TABLE, TABLE | {"number": "1"}), Reason.UNEXPECTED, id="one number twice"),
        pytest.param(archive((1, 16), TABLE | {"needs": "x"}), Reason.UNEXPECTED, id="a dependency that is no number"),
        pytest.param(
            b"PGDMP" + bytes([1, 16, 0, 200, 8, 1]) + bytes(900), Reason.UNEXPECTED, id="numbers of 200 bytes"
        ),
        pytest.param(b"PGDMP" + bytes([1, 16, 0, 4, 8, 3]) + bytes(900), Reason.UNEXPECTED, id="a tar archive"),
        pytest.param(
            b"PGDMP" + bytes([1, 16, 0, 4, 8, 1, 0]) + integer(0) * 7 + integer(2**31),
            Reason.UNEXPECTED,
            id="a long name",
        ),
    ],
)
def test_what_is_no_archive_is_refused(write: Callable[[bytes], Path], content: bytes, reason: Reason) -> None:
    with pytest.raises(OpsError) as refused:
        read_archive(write(content))
    assert refused.value.reason is reason


def test_bytes_that_are_no_utf8_stay_apart(write: Callable[[bytes], Path]) -> None:
    content = archive((1, 16), TABLE | {"definition": "CREATE TABLE public.orders (caf? int);\n"})
    one, other = (read_archive(write(content.replace(b"caf?", b"caf" + byte))) for byte in (b"\xe9", b"\xe8"))
    assert one.entries != other.entries


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="No such file"):
        read_archive(tmp_path / "none.dump")
