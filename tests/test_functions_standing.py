"""How functions stand beside what we did, in status, list, plan and rollback, and what a card promises of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from supabase_support import managed

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

NOBODY = 'approvals = 0\nbackup = "none"\nrehearsal = "off"\n'


def function(slug: str, says: str) -> dict[str, str | bytes]:
    return {f"supabase/functions/{slug}/index.ts": f'Deno.serve(() => new Response("{says}"));\n'}


def table(name: str) -> dict[str, str | bytes]:
    return {
        f"supabase/migrations/2026010100000{name[-1]}_{name}.sql": f"create table public.{name} (id int primary key);\n"
    }


@pytest.fixture(scope="module")
def api() -> Iterator[SupabaseApi]:
    with SupabaseApi() as found:
        yield found


@pytest.fixture(scope="module")
def stage(api: SupabaseApi, local_postgres: LocalPostgres) -> Iterator[Stage]:
    with Stage(postgres=local_postgres, empty=True, **managed(api, NOBODY)) as found:
        yield found


def told(stage: Stage, *words: str) -> dict[str, Any]:
    said = stage.cli(*words, "--json").json
    assert isinstance(said, dict)
    return said


def pushed(stage: Stage, files: dict[str, str | bytes]) -> str:
    stage.commit(files)
    done = told(stage, "push", "prod")
    assert done["status"] == "succeeded", done
    return str(done["request"])


def test_what_a_request_deployed_is_named_when_it_is_undone(stage: Stage) -> None:
    new = pushed(stage, function("hello", "v1"))
    both = pushed(stage, {**table("notes1"), **function("hello", "v2")})
    again = told(stage, "rollback", new)
    assert (again["status"], again["functions"][0]["since"]) == ("functions_only", both)

    ways = stage.cli("rollback", both).out
    assert "1 function that stays as deployed" in ways
    assert "functions prod rollback hello" in ways
    assert told(stage, "rollback", both)["status"] == "offered"

    alone = pushed(stage, function("hello", "v3"))
    said = stage.cli("rollback", alone).out
    assert "othing to undo" not in said
    assert f"{alone} deployed functions alone" in said
    assert "countersign functions prod rollback hello" in said
    refused = told(stage, "rollback", alone, "--with", "inverse")
    assert (refused["reason"], "functions alone" in refused["message"]) == ("not_allowed", True)


def test_what_was_rolled_back_or_changed_outside_is_told_as_that(stage: Stage, api: SupabaseApi) -> None:
    pushed(stage, function("hello", "before"))
    pushed(stage, function("hello", "behind"))
    back = str(told(stage, "functions", "prod", "rollback", "hello")["request"])
    assert f"hello rolled back by {back}" in stage.cli("status", "prod").out
    assert f"differs; rolled back by {back}" in stage.cli("functions", "prod").out
    cautions = {one["rule"]: one["message"] for one in told(stage, "plan", "prod")["hazards"]}
    assert "the very files" in cautions["function-rolled-back"]
    assert back in cautions["function-rolled-back"]
    opposite = told(stage, "rollback", back)
    assert "functions prod rollback hello" in opposite["hint"]

    with api.lock:
        api.project.put_function("hello", "theirs")
        api.project.put_function("extra")
    said = stage.cli("status", "prod").out
    assert f"hello changed outside since {back}" in said
    assert "not on main: extra" in said
    assert "behind main" not in said
    [found] = told(stage, "status", "prod")["targets"]
    assert found["functions_behind"] == ["hello"]
    pushed(stage, function("hello", "v4"))
    assert "changed outside" not in stage.cli("status", "prod").out


def test_a_push_whose_functions_are_left_is_told_until_it_is_gone_on_with(stage: Stage, api: SupabaseApi) -> None:
    stage.commit({**table("notes2"), **function("hello", "v5")})
    api.fail("POST .*/functions/deploy", 402)
    half = told(stage, "push", "prod")
    api.heal()
    assert half["status"] == "partially_applied", half
    way = f"resume {half['request']}"
    assert way in stage.cli("status", "prod").out
    assert way in stage.cli("why", half["request"]).out
    assert told(stage, "resume", half["request"])["status"] == "succeeded"
    assert way not in stage.cli("status", "prod").out
    assert way not in stage.cli("why", half["request"]).out


def test_a_waiting_request_promises_only_what_comes_and_is_asked_for_again_in_its_own_words(
    stage: Stage, api: SupabaseApi
) -> None:
    people = NOBODY.replace("approvals = 0", 'approvals = 1\napprovers = ["@database-owners"]\nrestore_point = true')
    stage.config.write_text(stage.config.read_text().replace(NOBODY, people))
    stage.commit(function("hello", "v6"))
    waits = told(stage, "functions", "prod", "deploy", "hello")["request"]
    assert "restore point" not in stage.cli("show", waits).out
    assert "countersign functions prod deploy hello" in stage.cli("cancel", waits).out
    waits = told(stage, "push", "prod")["request"]
    assert "restore point" not in stage.cli("show", waits).out
    stage.cli("cancel", waits)

    stage.commit(table("notes3"))
    blocked = told(stage, "push", "prod")
    assert (blocked["reason"], "restore_point = true" in blocked["message"]) == ("plan_blocked", True)
    assert "leave restore_point out of [projects.shop.environments.prod]" in blocked["hint"]
    assert "restore point: `restore_point = true`" in " ".join(stage.cli("doctor").err.split())
    api.project.pitr = (1_700_000_000, 1_800_000_000)
    waits = told(stage, "push", "prod")["request"]
    card = " ".join(stage.cli("show", waits).out.split())
    assert "a restore point of Supabase is made right before" in card
    assert "Supabase can go back to any moment from 2023-11-14" in card
