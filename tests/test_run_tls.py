"""The whole route against hosted servers: TLS only, versions 15 to 17, extensions in use."""

from collections.abc import Callable

from run_support import approve
from run_support import ask
from run_support import card
from run_support import disagreements
from run_support import ended
from slack_rules import problems

from sandbox.postgres import TlsPostgres
from sandbox.stage import Stage

EXTENSIONS = """
create extension if not exists pgcrypto with schema extensions;
create extension if not exists "uuid-ossp" with schema extensions;
create extension if not exists pg_trgm with schema extensions;
create table people (
  id uuid primary key default extensions.uuid_generate_v4(),
  token text not null default encode(extensions.gen_random_bytes(8), 'hex'),
  name text not null
);
create index people_name on people using gin (name extensions.gin_trgm_ops);
insert into people (name) select 'person ' || i from generate_series(1, 50) as i;
"""


def test_the_whole_route_on_a_server_that_speaks_tls_only(
    make_stage: Callable[..., Stage], tls_postgres: TlsPostgres
) -> None:
    stage = make_stage(
        postgres=tls_postgres,
        empty=True,
        prod='approvals = 1\napprovers = ["@database-owners"]\nbackup = "restored"\n',
    )
    stage.sql("prod", EXTENSIONS)
    stage.migration(
        "20260101000000_first.sql", "alter table people add column key uuid;\ncreate table ran (name text);"
    )
    stage.migration("20260102000000_index.sql", "create index concurrently people_key on people (key);")
    stage.start_bot()
    ask(stage)
    approve(stage)
    assert ended(stage).status.value == "succeeded", stage.cli("show", "R-1").out
    told = card(stage, "R-1 · shop/prod: done")
    assert "restored and proven" in told
    assert disagreements(stage, "prod") == []
    assert (request_proof(stage)["tables"], request_proof(stage)["rows"]) >= (1, 50)
    assert problems(stage.slack.posts()) == []
    assert stage.cli("audit", "verify").code == 0


def request_proof(stage: Stage) -> dict[str, int]:
    [event] = stage.events("backup_proven")
    found: dict[str, int] = (event.data or {})["proof"]
    return found
