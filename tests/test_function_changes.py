"""What becomes of a function, from what runs and what is wanted; pure values."""

import pytest

from ops.supabase.function_changes import Change
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_changes import changes_of
from ops.supabase.function_changes import contradicts
from ops.supabase.function_changes import is_body_of
from ops.supabase.function_smoke import judge
from ops.supabase.function_source import FunctionSource
from ops.supabase.models import Function
from ops.supabase.models import FunctionBody
from ops.supabase.models import FunctionFile

HELLO = "supabase/functions/hello/index.ts"
REF = "abcdefghijklmnopqrst"


def source_of(text: str = "1", verify_jwt: bool | None = None) -> FunctionSource:
    return FunctionSource("hello", HELLO, "", (), verify_jwt, (FunctionFile(HELLO, text.encode()),))


def runs(verify_jwt: bool | None = True, slug: str = "hello") -> Function:
    return Function(id="1", slug=slug, name=slug, status="ACTIVE", version=3, verify_jwt=verify_jwt, ezbr_sha256="e")


@pytest.mark.parametrize(
    ("said", "running", "same", "prune", "expected"),
    [
        (None, None, False, False, (Change.CREATED, True)),
        (False, None, False, False, (Change.CREATED, False)),
        (None, runs(), True, False, (Change.UNCHANGED, True)),
        (None, runs(verify_jwt=False), True, False, (Change.UNCHANGED, False)),
        (True, runs(verify_jwt=None), True, False, (Change.UNCHANGED, True)),
        (False, runs(), True, False, (Change.CHANGED, False)),
        (None, runs(), False, False, (Change.CHANGED, True)),
    ],
)
def test_what_becomes_of_a_function(
    said: bool | None, running: Function | None, same: bool, prune: bool, expected: tuple[Change, bool]
) -> None:
    there = {"hello": running} if running is not None else {}
    change = changes_of([source_of(verify_jwt=said)], there, {"hello": same}, prune=prune)[0]
    assert (change.change, change.verify_jwt) == expected


@pytest.mark.parametrize(("prune", "change"), [(False, Change.LEFT), (True, Change.REMOVED)])
def test_what_the_commit_lacks_stays_unless_prune_is_said(prune: bool, change: Change) -> None:
    found: FunctionChange = changes_of([], {"old": runs(slug="old")}, {}, prune=prune)[0]
    assert (found.slug, found.change, found.acts) == ("old", change, prune)


def test_where_files_lie_on_the_platform_makes_no_difference() -> None:
    there = FunctionBody(
        {"deno2_entrypoint_path": "file:///srv/user_fn/functions/hello/index.ts"},
        (FunctionFile("/srv/user_fn/functions/hello/index.ts", b"1"),),
    )
    assert is_body_of(there, source_of())
    assert not is_body_of(there, source_of("2"))
    assert contradicts(there, source_of()) == ""
    assert "index.ts" in contradicts(there, source_of("2"))
    assert "does not come back" in contradicts(FunctionBody({}, ()), source_of())


@pytest.mark.parametrize(
    ("status", "verify_jwt", "is_well"),
    [
        (200, True, True),
        (204, False, True),
        (401, True, True),
        (400, False, True),
        (404, False, False),
        (503, True, False),
    ],
)
def test_what_an_answer_to_the_first_call_says(status: int, verify_jwt: bool, is_well: bool) -> None:
    assert judge(status, verify_jwt=verify_jwt).is_well is is_well
