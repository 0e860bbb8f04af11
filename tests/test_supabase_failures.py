"""The Management API fails under a real word or run: what the person reads, and that nothing is half recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from supabase_support import managed

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

RULES = 'approvals = 0\nbackup = "none"\n'
HOUR = {"headers": {"Retry-After": "3600"}}


def _source(says: str) -> dict[str, str | bytes]:
    return {"supabase/functions/hello/index.ts": f'Deno.serve(() => new Response("{says}"));\n'}


@pytest.fixture(scope="module")
def api() -> Iterator[SupabaseApi]:
    with SupabaseApi() as made:
        yield made


@pytest.fixture(scope="module")
def stage(api: SupabaseApi, local_postgres: LocalPostgres) -> Iterator[Stage]:
    with Stage(**managed(api, prod=RULES, empty=True), postgres=local_postgres, rate_limits=False) as made:
        made.commit(_source("at first"))
        yield made


@contextmanager
def failing(api: SupabaseApi, call: str, how: Any, **more: Any) -> Iterator[None]:
    api.heal()
    api.requests.clear()
    api.fail(call, how, **{"times": 99, **more})
    try:
        yield
    finally:
        api.heal()


@pytest.mark.parametrize(
    ("word", "call", "how", "more", "code", "reason", "says"),
    [
        ("plan", "GET .*/functions$", 401, {}, 2, "api_refused", "does not know this access token"),
        ("plan", "GET .*/secrets$", 403, {}, 2, "api_refused", "edge_functions_secrets_read"),
        ("push", "GET .*/functions$", 429, HOUR, 5, "api_busy", "Try again in 3600 s"),
        ("functions", "GET .*/functions$", 403, {}, 2, "api_refused", "edge_functions_read"),
        ("secrets", "GET .*/secrets$", 200, {"body": '[{"name": 1}]'}, 1, "api_failed", "shape"),
        ("types", "GET .*/types", 402, {}, 2, "api_plan", "does not include"),
    ],
)
def test_a_word_that_needs_the_answer_says_what_is_wrong_and_does_nothing(
    *, stage: Stage, api: SupabaseApi, word: str, call: str, how: int, more: Any, code: int, reason: str, says: str
) -> None:
    with failing(api, call, how, **more):
        ran = stage.cli(word, "prod", "--json")

    assert (ran.code, ran.json["reason"]) == (code, reason), ran.out
    assert says in f"{ran.json['message']} {ran.json['hint']}"
    assert api.token not in ran.out + ran.err
    assert stage.events("planned", "requested", "started", "function_deploy_sent") == []
    assert {seen.method for seen in api.requests} == {"GET"}


@pytest.mark.parametrize(
    ("word", "call", "says"),
    [
        ("health", "GET .*/v1/projects/[a-z]+/health$", "Management API"),
        ("backups", "GET .*/database/backups$", "Supabase"),
        ("status", "GET .*/v1/", "not known"),
    ],
)
def test_a_word_that_can_do_without_the_answer_says_what_is_not_known(
    stage: Stage, api: SupabaseApi, word: str, call: str, says: str
) -> None:
    with failing(api, call, 403):
        ran = stage.cli(word, "prod")

    said = ran.out + ran.err
    assert ran.code == 0, said
    assert says in said
    assert "(403)" in said or "does not let this access token" in said, said
    assert api.token not in said


@pytest.mark.parametrize("how", [500, "half", "drop"])
def test_what_passes_by_itself_is_not_even_noticed(stage: Stage, api: SupabaseApi, how: Any) -> None:
    with failing(api, "GET .*/functions$", how, times=1):
        assert stage.cli("functions", "prod", "--json").code == 0

    assert len(api.seen("GET .*/functions$")) >= 2


@pytest.mark.parametrize(
    ("how", "more", "reason"),
    [
        (402, {}, "api_plan"),
        (429, HOUR, "api_busy"),
        ("drop", {}, "api_failed"),
        ("half", {}, None),
    ],
)
def test_a_deployment_that_fails_is_known_to_be_there_or_not(
    stage: Stage, api: SupabaseApi, how: Any, more: Any, reason: str | None
) -> None:
    """Each intent in the log has its outcome behind it, which is what the project has; it is sent once. Then all is well."""
    stage.commit(_source(f"after {how}"))
    before = stage.events()[-1].seq if stage.events() else 0

    with failing(api, "POST .*/functions/deploy", how, **more):
        told = stage.cli("push", "prod", "--json").json
        sent = len(api.seen("POST .*/functions/deploy"))

    news = [event for event in stage.events() if event.seq > before]
    there = any(f"after {how}".encode() in content for _, content in _files(api))
    outcome = [event.kind for event in news if event.kind in {"function_deployed", "function_deploy_failed"}]
    assert sent == 1
    assert there == (reason is None)
    assert told["status"] == ("succeeded" if there else "failed"), told
    assert outcome == ["function_deployed" if there else "function_deploy_failed"]
    if reason:
        assert told["reason"] == reason
        again = stage.cli("push", "prod", "--json").json
        assert again["status"] == "succeeded", again
        assert any(f"after {how}".encode() in content for _, content in _files(api))
    assert stage.cli("audit", "verify").code == 0


def _files(api: SupabaseApi) -> list[tuple[str, bytes]]:
    found = api.project.functions.get("hello")
    return found.files if found else []
