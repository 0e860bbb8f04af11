"""Every call of the Management API against every way it can fail: what people read, what was done, how often it was asked."""

import json
from collections.abc import Callable
from collections.abc import Iterator
from datetime import UTC
from datetime import datetime
from typing import Any

import pytest
from supabase_support import client_of
from supabase_support import managed_target

from ops.errors import OpsError
from ops.errors import Reason
from ops.supabase.api_error import ApiError
from ops.supabase.budget import Budget
from ops.supabase.client import LONGEST_SECRET_BYTES
from ops.supabase.client import ManagementApi
from ops.supabase.client import api_for
from ops.supabase.client import need_api
from ops.supabase.client import unmanaged_because
from ops.supabase.models import Function
from ops.supabase.models import FunctionFile
from ops.supabase.models import FunctionMetadata
from ops.supabase.multipart import parse_parts
from ops.supabase.transport import Transport
from sandbox.supabase_api import REF
from sandbox.supabase_api import SupabaseApi

VALUE = "the-value-of-the-secret-0123456789"
PATH = "supabase/functions/hello/index.ts"
ABOUT = FunctionMetadata(entrypoint_path=PATH, name="hello", verify_jwt=False)
FILES = (FunctionFile(PATH, b"Deno.serve(() => new Response('hi'))\r\n"),)
BUNDLE = Function(id="1", slug="hello", name="hello", status="ACTIVE", version=1)
THEN, NOW = datetime(2026, 11, 23, 9, tzinfo=UTC), datetime(2026, 11, 23, 10, tzinfo=UTC)

Ask = Callable[[ManagementApi], Any]
READS: dict[str, Ask] = {
    "GET /": lambda api: api.project(),
    "GET /health": lambda api: api.health(),
    "GET /api-keys": lambda api: api.api_keys(),
    "GET /types/typescript": lambda api: api.types_typescript(),
    "GET /advisors/security": lambda api: api.advisors("security"),
    "GET /advisors/performance": lambda api: api.advisors("performance"),
    "GET /analytics/endpoints/logs": lambda api: api.logs("select 1", THEN, NOW),
    "GET /functions": lambda api: api.functions(),
    "GET /functions/{slug}": lambda api: api.function("hello"),
    "GET /functions/{slug}/body": lambda api: api.function_body("hello"),
    "GET /secrets": lambda api: api.secrets(),
    "GET /database/backups": lambda api: api.backups(),
    "GET /database/backups/restore-point": lambda api: api.restore_point("before"),
    "POST /cli/login-role": lambda api: api.login_role(),
}
WRITES: dict[str, Ask] = {
    "POST /functions/deploy": lambda api: api.deploy_function("hello", ABOUT, FILES),
    "PUT /functions": lambda api: api.put_functions([BUNDLE]),
    "DELETE /functions/{slug}": lambda api: api.delete_function("hello"),
    "POST /secrets": lambda api: api.set_secrets([("STRIPE", VALUE)]),
    "DELETE /secrets": lambda api: api.unset_secrets(["STRIPE"]),
    "POST /database/backups/restore-pitr": lambda api: api.restore_pitr(1_795_000_000),
    "POST /database/backups/restore": lambda api: api.restore_backup(7),
    "POST /database/backups/restore-point": lambda api: api.create_restore_point("before"),
    "POST /database/backups/undo": lambda api: api.undo("before"),
}
BODYLESS = {
    *("DELETE /functions/{slug}", "POST /secrets", "DELETE /secrets"),
    *("POST /database/backups/restore-pitr", "POST /database/backups/restore", "POST /database/backups/undo"),
}
"""Calls whose answer has nothing in it, so that it cannot be in another shape."""

FAILURES: dict[str, tuple[Any, dict[str, Any], Reason, bool, int]] = {
    # how: the sandbox's failure, its settings, the reason, whether a write's outcome is unknown, tries of a read
    "401": (401, {}, Reason.API_REFUSED, False, 1),
    "402": (402, {}, Reason.API_PLAN, False, 1),
    "403": (403, {}, Reason.API_REFUSED, False, 1),
    "422": (422, {}, Reason.API_FAILED, False, 1),
    "429 for an hour": (429, {"headers": {"Retry-After": "3600"}}, Reason.API_BUSY, False, 1),
    "500": (500, {"done": True}, Reason.API_FAILED, True, 3),
    "half a body": ("half", {}, Reason.API_FAILED, True, 3),
    "no answer": ("drop", {"done": True}, Reason.API_FAILED, True, 3),
    "elsewhere": (302, {"headers": {"Location": "http://127.0.0.1:9/"}}, Reason.API_FAILED, False, 1),
    "not JSON": (200, {"body": "<html>ok</html>"}, Reason.API_FAILED, True, 1),
    "another shape": (200, {"body": '[{"unexpected": "sb_secret_0123456789abcdef"}, 7]'}, Reason.API_FAILED, True, 1),
}


@pytest.fixture(scope="module")
def api() -> Iterator[SupabaseApi]:
    with SupabaseApi() as made:
        yield made


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(api: SupabaseApi, slept: list[float]) -> Iterator[ManagementApi]:
    """A client that waits for nothing, and writes down how long it would have."""
    api.heal()
    api.requests.clear()
    project = api.project
    project.put_function("hello")
    project.secrets = {"STRIPE": ("old", "2026-11-01T00:00:00Z")}
    project.pitr = (1_794_000_000, 1_796_000_000)
    project.restore_points = {"before": {"name": "before", "status": "AVAILABLE", "completed_on": None}}
    project.backups = [{"id": 7, "is_physical_backup": True, "status": "COMPLETED", "inserted_at": "2026-11-22"}]
    transport = _transport(api.url, api.token, slept)
    with ManagementApi(project.ref, transport) as made:
        yield made


def _transport(url: str, token: str, slept: list[float], patience_seconds: float = 20) -> Transport:
    return Transport(
        url,
        REF,
        token,
        timeout_seconds=5,
        patience_seconds=patience_seconds,
        budget=Budget(),
        sleep=slept.append,
    )


def _pattern(call: str) -> str:
    method, _, path = call.partition(" ")
    return f"{method} /v1/projects/[a-z]+{path.replace('{slug}', '[a-z]+').rstrip('/')}$"


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_what_a_person_reads_when_a_call_fails(
    api: SupabaseApi, client: ManagementApi, slept: list[float], call: str, failure: str
) -> None:
    how, more, reason, unknown, tries = FAILURES[failure]
    if failure in {"not JSON", "another shape"} and call in BODYLESS:
        return
    api.fail(_pattern(call), how, times=9, **more)

    with pytest.raises(ApiError) as caught:
        {**READS, **WRITES}[call](client)

    error = caught.value
    said = f"{error.message} {error.hint} {error.details} {error!r}"
    is_write = call in WRITES
    assert (error.reason, error.outcome_unknown) == (reason, unknown and is_write), said
    assert (error.details["outcome"] == "unknown") == error.outcome_unknown
    assert ("unknown" in error.message) == error.outcome_unknown
    assert "\n" not in said
    assert not [secret for secret in (api.token, VALUE, "sb_secret_0123456789abcdef") if secret in said]
    assert len(api.seen(_pattern(call))) == (1 if is_write else tries)
    assert slept == ([0.25, 1.0] if tries == 3 and not is_write else [])


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_every_call_goes_well_again_after_a_moment_of_too_many(
    api: SupabaseApi, client: ManagementApi, slept: list[float], call: str
) -> None:
    """What was turned away was not done, so even a write is sent again, as late as was asked for."""
    if call == "PUT /functions":
        bundle = client.deploy_function("hello", ABOUT, FILES, bundle_only=True)
        ask: Ask = lambda api: api.put_functions([bundle])  # noqa: E731
    else:
        ask = {**READS, **WRITES}[call]
    api.fail(_pattern(call), 429, headers={"Retry-After": "7"})

    ask(client)

    assert slept == [7.0]
    assert len(api.seen(_pattern(call))) == 2


def test_no_connection_is_tried_again_even_for_a_write(slept: list[float]) -> None:
    nowhere = ManagementApi(REF, _transport("http://127.0.0.1:9", "sbp_nowhere", slept))

    with nowhere, pytest.raises(ApiError) as caught:
        nowhere.set_secrets([("STRIPE", VALUE)])

    assert (caught.value.outcome_unknown, len(slept)) == (False, 2)
    assert "no connection came about" in caught.value.message


@pytest.mark.parametrize(
    ("ask", "unknown", "asked"), [(READS["GET /secrets"], False, 3), (WRITES["POST /secrets"], True, 1)]
)
def test_a_slow_answer_is_not_waited_for(api: SupabaseApi, ask: Ask, unknown: bool, asked: int) -> None:
    api.heal()
    api.requests.clear()
    api.fail("/secrets$", "slow", times=9, seconds=30)

    with client_of(api, timeout_seconds=0.2) as client, pytest.raises(ApiError) as caught:
        ask(client)

    assert (caught.value.outcome_unknown, len(api.seen("/secrets$"))) == (unknown, asked)
    assert "the time for an answer ran out" in caught.value.message


@pytest.mark.parametrize("patience_seconds", [0, 600])
def test_the_budget_is_kept_before_the_limit_is_met(
    api: SupabaseApi, slept: list[float], patience_seconds: int
) -> None:
    """The last call that was left said so: the next one is not sent before its time, and other endpoints go on."""
    api.heal()
    api.requests.clear()
    ends = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"}
    api.fail("GET .*/secrets$", 200, body="[]", headers=ends)
    with ManagementApi(REF, _transport(api.url, api.token, slept, patience_seconds)) as client:
        client.secrets()
        if patience_seconds:
            client.secrets()
        else:
            with pytest.raises(ApiError) as caught:
                client.secrets()
            assert (caught.value.reason, caught.value.exit_code) == (Reason.API_BUSY, 5)
            assert "in 40 s" in caught.value.hint
        client.functions()

    assert [round(seconds) for seconds in slept] == ([40] if patience_seconds else [])
    assert len(api.seen("GET .*/secrets$")) == (2 if patience_seconds else 1)
    assert len(api.seen("GET .*/functions$")) == 1


def test_the_limit_of_the_sandbox_is_counted_as_the_api_counts(api: SupabaseApi) -> None:
    api.heal()
    api.limit = 2
    try:
        for _ in range(2):
            with client_of(api) as client:
                client.advisors("security")
        with client_of(api, patience_seconds=0) as client, pytest.raises(ApiError) as caught:
            client.advisors("security")
    finally:
        api.limit = None

    assert caught.value.reason == Reason.API_BUSY
    assert len(api.seen("GET .*/advisors/security")) == 2


def test_an_answer_without_end_is_cut_off(api: SupabaseApi, client: ManagementApi) -> None:
    api.project.types = "x" * (9 * 2**20)
    try:
        with pytest.raises(ApiError, match="more than 8388608 bytes"):
            client.types_typescript()
    finally:
        api.project.types = ""


def test_a_function_comes_back_byte_for_byte(client: ManagementApi) -> None:
    every = bytes(range(256)) + b"\r\n--sandbox\r\n\r\n\n\r--"
    files = (FunctionFile(PATH, every), FunctionFile("supabase/functions/_shared/é x.ts", b""))

    made = client.deploy_function("hello", ABOUT, files)
    body = client.function_body("hello")

    assert body is not None
    assert body.files == files
    assert client.function("hello") == made
    assert (client.function("nobody"), client.function_body("nobody"), client.delete_function("nobody")) == (
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n", b"--b\r\nname: x\r\n\r\ncontent", b"--b\r\nno header end\r\n--b--\r\n"]
)
def test_half_a_multipart_body_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"end is missing|no header"):
        parse_parts("multipart/form-data; boundary=b", body)


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ([], "at once"),
        ([(f"N{number}", "x") for number in range(101)], "at once"),
        ([("SUPABASE_URL", "x")], "no name"),
        ([("N" * 257, "x")], "no name"),
        ([("A\nB", "x")], "no name"),
        ([("NAME", "")], "empty"),
        ([("NAME", "x" * (LONGEST_SECRET_BYTES + 1))], "longer"),
    ],
)
def test_what_no_secret_may_be_is_not_even_sent(
    api: SupabaseApi, client: ManagementApi, secrets: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(OpsError, match=reason):
        client.set_secrets(secrets)

    assert api.requests == []


def test_a_value_that_the_server_quotes_is_not_repeated(api: SupabaseApi, client: ManagementApi) -> None:
    api.fail("POST .*/secrets", 400, body=json.dumps({"message": f"bad value {VALUE}"}))

    with pytest.raises(ApiError) as caught:
        client.set_secrets([("STRIPE", VALUE)])

    assert VALUE not in f"{caught.value.message} {caught.value.hint} {caught.value.details}"


@pytest.mark.parametrize(
    ("environment", "because"),
    [
        ({}, "SUPABASE_ACCESS_TOKEN is not set"),
        ({"SUPABASE_ACCESS_TOKEN": " "}, "SUPABASE_ACCESS_TOKEN is not set"),
        ({"SUPABASE_ACCESS_TOKEN": "sbp_0123456789"}, ""),
    ],
)
def test_without_a_token_only_the_database_is_looked_after(
    api: SupabaseApi, environment: dict[str, str], because: str
) -> None:
    target = managed_target(api)

    assert unmanaged_because(target, environment) == because
    assert (api_for(target, environment=environment) is None) == bool(because)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.supabase.com",
        "ftp://127.0.0.1",
        "https://user@api.example",
        "https://api.example/?a=b",
        "https://",
        "x",
    ],
)
def test_a_token_goes_to_no_address_that_others_can_read(api: SupabaseApi, url: str) -> None:
    with pytest.raises(OpsError) as caught:
        need_api(managed_target(api), environment={**api.environment, "SUPABASE_API_URL": url})

    assert caught.value.reason == Reason.BAD_CONFIG


def test_nothing_that_is_printed_holds_the_token(api: SupabaseApi) -> None:
    with client_of(api) as client:
        held = (client, client._transport, client.login_role(), client.api_keys())

    shown = " ".join(f"{one} {one!r}" for one in held)
    assert not [
        secret for secret in (api.token, api.project.secret_key, *api.project.logins.values()) if secret in shown
    ]
