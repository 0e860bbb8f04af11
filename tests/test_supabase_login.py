"""A database whose password is kept nowhere: each connection goes in by a temporary login of the Management API."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from run_support import FIRST
from supabase_support import managed

from ops.database import connect
from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import read_settings
from ops.supabase.login import login_url
from ops.targets import Target
from ops.targets import find_target
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

TABLE = "create table public.goods (id int primary key);\nselect pg_sleep(0);"


def _target(api: SupabaseApi, url: str) -> Target:
    text = (
        '[projects.shop]\nrepository = "repository"\n[projects.shop.environments.prod]\n'
        f'database_url = "{url}"\nbranch = "main"\napprovals = 0\nproject_ref = "{api.project.ref}"\n'
    )
    return find_target(read_settings(text.encode(), Path("/countersign.toml")), "prod")


@pytest.fixture
def api(supabase_api: SupabaseApi, monkeypatch: pytest.MonkeyPatch) -> SupabaseApi:
    for name, value in supabase_api.environment.items():
        monkeypatch.setenv(name, value)
    return supabase_api


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("supabase:", "@db.abcdefghijklmnopqrst.supabase.co:5432/postgres"),
        ("supabase://127.0.0.1:54322/shop", "@127.0.0.1:54322/shop"),
        (
            "supabase://aws-0-eu-west-1.pooler.supabase.com",
            ".abcdefghijklmnopqrst:{password}@aws-0-eu-west-1.pooler.supabase.com:5432/postgres",
        ),
    ],
)
def test_where_a_temporary_login_leads(api: SupabaseApi, setting: str, place: str) -> None:
    url = _target(api, setting).database_url()

    ((role, password),) = api.project.logins.items()
    assert url.startswith(f"postgresql://{role}")
    assert url.endswith(place.format(password=password))
    assert f":{password}@" in url


def test_a_login_is_used_for_a_while_and_replaced_before_it_ends(
    api: SupabaseApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("ops.supabase.login.time.monotonic", lambda: now[0])
    api.project.login_ttl_seconds = 300
    target = _target(api, "supabase:")

    first = login_url(target)
    now[0] += 149
    assert login_url(target) == first
    now[0] += 1
    assert login_url(target) != first
    assert len(api.seen("POST .*/cli/login-role")) == 2


@pytest.mark.parametrize(("how", "reason"), [(403, Reason.API_REFUSED), (500, Reason.API_FAILED)])
def test_without_a_login_there_is_no_connection_and_no_guess(api: SupabaseApi, how: int, reason: Reason) -> None:
    api.fail("login-role", how, times=9)

    with pytest.raises(OpsError) as caught:
        _target(api, "supabase:").database_url()

    assert caught.value.reason == reason
    assert api.token not in caught.value.message


@pytest.mark.parametrize(
    "setting", ["supabase://user@host", "supabase://user:word@host/db", "supabase://host:99999", "supabase:x"]
)
def test_a_temporary_login_is_asked_for_by_place_alone(api: SupabaseApi, setting: str) -> None:
    with pytest.raises(OpsError, match="temporary logins are"):
        _target(api, setting)


def test_a_login_that_somebody_else_ended_is_replaced(api: SupabaseApi, local_postgres: LocalPostgres) -> None:
    """The API may give one login to all, with a new password each time."""
    api.project.database_url = local_postgres.url("postgres", "supabase_admin")
    target = _target(api, f"supabase://127.0.0.1:{local_postgres.port}/postgres")
    url = target.database_url()
    (role,) = api.project.logins
    with closing(psycopg.connect(api.project.database_url, autocommit=True)) as connection:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(sql.Identifier(role)))

    for _ in range(2):
        with closing(connect(url, purpose="test")) as connection:
            assert connection.execute("select current_user").fetchone() == ("postgres",)

    assert len(api.project.logins) == 2
    assert target.database_url() != url


def test_a_run_with_a_backup_goes_in_by_temporary_logins_and_leaves_none_of_them_behind(
    make_stage: Callable[..., Stage], supabase_api: SupabaseApi
) -> None:
    """The tables belong to postgres, as after the CLI; no password of a login is in anything that was written or said."""
    stage = make_stage(
        **managed(supabase_api, prod='approvals = 0\nbackup = "intact"\nfunctions = "off"\n', empty=True)
    )
    supabase_api.project.database_url = stage.postgres.url(stage.databases["prod"], "supabase_admin")
    place = f"supabase://127.0.0.1:{stage.postgres.port}/{stage.databases['prod']}"
    stage.config.write_text(stage.config.read_text().replace("$SHOP_PROD_DATABASE_URL", place))
    stage.migration(FIRST, TABLE)

    ran = stage.cli("push", "prod", "--json")

    assert ran.json["status"] == "succeeded", ran.out + ran.err
    owners = "select tableowner from pg_tables where tablename in ('goods', 'schema_migrations') order by tablename"
    assert stage.sql("prod", owners) == [("postgres",), ("postgres",)]
    assert supabase_api.project.logins
    written = b"".join(path.read_bytes() for path in (stage.folder / "var").rglob("*") if path.is_file())
    for password in (*supabase_api.project.logins.values(), supabase_api.token):
        assert password not in ran.out + ran.err
        assert password.encode() not in written


def test_doctor_tells_what_the_token_may_not_read(make_stage: Callable[..., Stage], supabase_api: SupabaseApi) -> None:
    stage = make_stage(**managed(supabase_api, empty=True))
    supabase_api.fail("GET .*/secrets$", 403, times=9)

    def project(found: object) -> list[tuple[str, str]]:
        assert isinstance(found, list)
        return [(one["state"], one["found"]) for one in found if one["what"].startswith("shop/prod project")]

    checks = project(stage.cli("doctor", "--json").json["checks"])
    assert [state for state, _ in checks] == ["ok", "problem"]
    assert "edge_functions_secrets_read" in checks[1][1]

    supabase_api.heal()
    stage.environment["SUPABASE_ACCESS_TOKEN"] = f"sbp_{'0' * 40}"
    ((state, found),) = project(stage.cli("doctor", "--json").json["checks"])
    assert (state, "does not know this access token" in found, "0" * 40 in found) == ("problem", True, False)

    del stage.environment["SUPABASE_ACCESS_TOKEN"]
    ((state, found),) = project(stage.cli("doctor", "--json").json["checks"])
    assert (state, found.endswith("SUPABASE_ACCESS_TOKEN is not set")) == ("warning", True)
