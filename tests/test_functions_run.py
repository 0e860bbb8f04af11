"""Functions in a real run: planned, kept, deployed, verified, called; failing after a migration, and gone on with."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from supabase_support import managed

from audit import Reader
from ops.requests import find_request
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

NOBODY = 'approvals = 0\nbackup = "none"\nrehearsal = "off"\n'


def handler(says: str) -> str:
    return f'import {{ end }} from "../_shared/end.ts";\nDeno.serve(() => new Response("{says}" + end));\n'


SHARED: dict[str, str | bytes] = {"supabase/functions/_shared/end.ts": 'export const end = "!";\n'}


def function(slug: str, says: str) -> dict[str, str | bytes]:
    return {f"supabase/functions/{slug}/index.ts": handler(says), **SHARED}


@pytest.fixture(scope="module")
def api() -> Iterator[SupabaseApi]:
    with SupabaseApi() as found:
        yield found


@pytest.fixture(scope="module")
def stage(api: SupabaseApi, local_postgres: LocalPostgres) -> Iterator[Stage]:
    with Stage(postgres=local_postgres, empty=True, **managed(api, NOBODY)) as found:
        yield found


def last(stage: Stage, kind: str) -> dict[str, Any]:
    """The data of the last event of a kind."""
    found = stage.events(kind)[-1].data
    assert found is not None
    return found


def pushed(stage: Stage, *more: str) -> dict[str, Any]:
    told = stage.cli("push", "prod", "--json", *more).json
    assert isinstance(told, dict)
    return told


def table(name: str) -> str:
    return f"create table public.{name} (id int);\nalter table public.{name} enable row level security;\n"


def test_one_commit_brings_its_migration_and_its_functions(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(
        {
            "supabase/migrations/20260101000000_a.sql": table("a"),
            "supabase/config.toml": "[functions.open]\nverify_jwt = false\n",
            **function("hello", "hi"),
            **function("open", "come in"),
        },
        "first",
    )
    plan = stage.cli("plan", "prod", "--json").json
    assert [(one["slug"], one["change"]) for one in plan["functions"]] == [("hello", "created"), ("open", "created")]
    assert [one["rule"] for one in plan["hazards"] if one["rule"] == "function-open"] == ["function-open"]

    told = pushed(stage)

    assert told["status"] == "succeeded", told
    assert [one["step"] for one in told["steps"]][2:6] == ["migrate", "functions", "secrets", "health"]
    assert {slug: one.said["version"] for slug, one in api.project.functions.items()} == {"hello": 1, "open": 1}
    assert api.project.functions["open"].said["verify_jwt"] is False
    kinds = [(one.kind, (one.data or {}).get("how")) for one in stage.events() if one.kind.startswith("function_")]
    sent = [("function_deploy_sent", how) for how in ("bundle", "bundle", "start")]
    assert kinds == [*sent, ("function_deployed", None), ("function_deployed", None)]
    assert pushed(stage)["status"] == "nothing_to_do"


def test_a_push_of_functions_alone_keeps_what_ran(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(function("hello", "hi again"), "second")

    told = pushed(stage)

    assert told["status"] == "succeeded", told
    assert api.project.functions["hello"].said["version"] == 2
    kept = last(stage, "function_kept")
    assert (kept["slug"], kept["version"]) == ("hello", 1)
    files = [path for path in (stage.folder / "var/kept/functions").rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_mode & 0o077 for path in (stage.folder / "var/kept").rglob("*")} == {0}


def test_a_function_that_fails_behind_a_migration_is_gone_on_with(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(
        {"supabase/migrations/20260102000000_b.sql": table("b"), **function("hello", "third"), **function("open", "3")},
        "third",
    )
    api.fail("PUT .*/functions", 500, times=9)
    half = pushed(stage)
    api.heal()
    assert half["status"] == "partially_applied", half
    assert half["ending"]["functions"] == {"left": ["hello", "open"]}
    assert half["ending"]["not_applied"] == []
    assert f"resume {half['request']}" in half["hint"]

    on = stage.cli("resume", half["request"], "--json").json

    assert on["status"] == "succeeded", on
    assert {one.said["version"] for one in api.project.functions.values()} > {2}
    assert pushed(stage)["status"] == "nothing_to_do"


def test_an_answer_that_is_lost_is_looked_for_and_not_sent_again(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(function("hello", "fourth"), "fourth")
    api.requests.clear()
    api.fail("POST .*/functions/deploy", 500, done=True)

    told = pushed(stage)

    api.heal()
    assert told["status"] == "succeeded", told
    assert len(api.seen("POST .*/functions/deploy")) == 1
    assert last(stage, "function_deployed")["found"] is True


def test_a_deploy_by_somebody_else_in_between_is_not_run_over(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(function("hello", "fifth"), "fifth")
    before = stage.cli("plan", "prod", "--json").json["digest"]
    api.project.put_function("hello", "Deno.serve(() => new Response('theirs'))")
    assert stage.cli("plan", "prod", "--json").json["digest"] != before


def test_what_a_function_ran_before_is_put_back(stage: Stage, api: SupabaseApi) -> None:
    assert pushed(stage)["status"] == "succeeded"
    before = stage.cli("functions", "prod", "--json").json["functions"]
    assert [(one["slug"], one["change"]) for one in before] == [("hello", "unchanged"), ("open", "unchanged")]
    runs = api.project.functions["hello"].files

    told = stage.cli("functions", "prod", "rollback", "hello", "--json")

    assert told.json["status"] == "succeeded", told.out + told.err
    now = stage.cli("functions", "prod", "--json").json["functions"]
    assert [(one["slug"], one["change"]) for one in now] == [("hello", "changed"), ("open", "unchanged")]
    assert api.project.functions["hello"].files != runs
    assert now[0]["version"] == before[0]["version"] + 1
    again = stage.cli("functions", "prod", "deploy", "hello", "--json")
    assert again.json["status"] == "succeeded", again.out + again.err
    assert api.project.functions["hello"].files == runs


def test_a_run_that_is_killed_behind_its_upload_is_taken_up_and_sends_nothing_twice(
    stage: Stage, api: SupabaseApi
) -> None:
    stage.commit(function("hello", "killed"), "killed")
    api.requests.clear()
    api.fail("POST .*/functions/deploy", "slow", done=True, seconds=60)
    command = [sys.executable, "-m", "countersign", "push", "prod", "--json"]
    with subprocess.Popen(command, cwd=stage.folder, env=stage.environment, stdout=subprocess.DEVNULL) as push:
        deadline = time.monotonic() + 30
        while not api.seen("POST .*/functions/deploy") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        push.send_signal(signal.SIGKILL)
    api.heal()

    stage.cli("status")

    told = stage.events("started", "resumed", "succeeded", "partially_applied")
    assert [one.kind for one in told if one.stream.startswith("request:")][-2:] == ["resumed", "succeeded"]
    assert len(api.seen("POST .*/functions/deploy")) == 1
    assert last(stage, "function_deployed")["found"] is True
    assert last(stage, "function_deployed")["kept"] == last(stage, "function_kept")["sha256"]


def test_the_card_and_the_file_name_the_functions(stage: Stage, api: SupabaseApi) -> None:
    del api
    stage.commit(function("hello", "sbp_0123456789abcdef0123456789abcdef01234567"), "with a token")
    plan = stage.cli("plan", "prod")
    assert "hello" in plan.out
    assert "secret-in-file at supabase/functions/hello/index.ts:2" in plan.out
    assert "sbp_01" not in plan.out + plan.err
    refused = stage.cli("push", "prod", "--json")
    assert (refused.code, refused.json["reason"]) == (3, "hazard_forbidden")
    stage.commit(function("hello", "no token"), "without")
    request = find_request(Reader(stage.log_path), pushed(stage)["request"])
    shown = stage.cli("show", request.id)
    assert "1 function" in shown.out
    assert request.files == []


def test_a_function_that_does_not_start_is_told_with_the_way_back(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(function("hello", "broken"), "broken")
    api.fail("OPTIONS /functions/v1/hello", 503, times=4)  # before the run, and three tries behind it

    told = pushed(stage)

    api.heal()
    assert (told["status"], told["reason"]) == ("partially_applied", "health_failed")
    assert "hello answers 503" in told["message"]
    assert told["ending"]["functions"] == {"done": ["hello"]}
    assert "functions prod rollback" in told["hint"]
    assert stage.cli("functions", "prod", "rollback", "hello", "--json").json["status"] == "succeeded"


def test_what_the_commit_lacks_stays_until_prune_is_said(stage: Stage, api: SupabaseApi) -> None:
    (stage.repository / "supabase/functions/open/index.ts").unlink()
    stage.commit({"supabase/config.toml": "", **function("hello", "last")}, "open is gone")
    assert pushed(stage)["status"] == "succeeded"
    assert {one["slug"]: one["change"] for one in stage.cli("plan", "prod", "--json").json["functions"]} == {
        "hello": "unchanged",
        "open": "left",
    }
    stage.config.write_text(stage.config.read_text().replace("project_ref", "prune = true\nproject_ref"))
    plan = stage.cli("plan", "prod", "--json").json
    assert "function-removed" in {one["rule"] for one in plan["hazards"]}

    assert pushed(stage)["status"] == "succeeded"

    assert set(api.project.functions) == {"hello"}
    assert last(stage, "function_deployed")["change"] == "removed"
    back = stage.cli("functions", "prod", "rollback", "open", "--json")
    assert back.json["status"] == "succeeded", back.out
    assert api.project.functions["open"].said["verify_jwt"] is False


def test_what_somebody_deployed_since_is_not_put_back_by_resuming(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(function("hello", "refused"), "refused")
    api.fail("POST .*/functions/deploy", 403)
    nothing = pushed(stage)
    assert (nothing["status"], nothing["reason"]) == ("failed", "api_refused")
    stage.commit({"supabase/migrations/20260103000000_c.sql": table("c"), **function("hello", "half")}, "half")
    api.fail("POST .*/functions/deploy", 403)
    half = pushed(stage)
    assert half["status"] == "partially_applied"
    api.heal()
    assert pushed(stage)["status"] == "succeeded"
    refused = stage.cli("resume", half["request"], "--json")
    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    assert "deployed the function hello since" in refused.json["message"]
