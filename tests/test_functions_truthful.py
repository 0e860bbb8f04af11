"""Functions in a real run, where something is not as it should be: what is told is what is there."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from supabase_support import managed

from ops.supabase.function_changes import contradicts
from ops.supabase.function_changes import is_body_of
from ops.supabase.function_changes import metadata_contradicts
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_wanted import source_of
from ops.supabase.function_wanted import unknown_of
from ops.supabase.function_wanted import unusable
from ops.supabase.kept_functions import Deployed
from ops.supabase.kept_functions import Kept
from ops.supabase.kept_functions import Recipe
from ops.supabase.models import Function
from ops.supabase.models import FunctionBody
from ops.supabase.models import FunctionFile
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

NOBODY = 'approvals = 0\nbackup = "none"\nrehearsal = "off"\n'
CONFIG = '[functions.one]\nstatic_files = ["./functions/one/*.html"]\n'
ENTRY, END, PAGE = (f"supabase/functions/{name}" for name in ("one/index.ts", "_shared/end.ts", "one/p.html"))
MAP = "supabase/functions/one/deno.json"
ROOT = "file:///srv/user_fn_x_1/source/"


def one(says: str) -> dict[str, str | bytes]:
    return {
        "supabase/config.toml": CONFIG,
        MAP: '{"imports": {"end": "../_shared/end.ts"}}',
        ENTRY: f'import "end";\nDeno.serve(() => new Response("{says}"));\n',
        PAGE: "<p>",
        END: "export {};\n",
    }


def two(says: str) -> dict[str, str | bytes]:
    return {"supabase/functions/two/index.ts": f'Deno.serve(() => new Response("{says}"));\n'}


@pytest.fixture(scope="module")
def api() -> Iterator[SupabaseApi]:
    with SupabaseApi() as found:
        found.project.body_root = ROOT
        yield found


@pytest.fixture(scope="module")
def stage(api: SupabaseApi, local_postgres: LocalPostgres) -> Iterator[Stage]:
    with Stage(postgres=local_postgres, empty=True, **managed(api, NOBODY)) as found:
        yield found


def told(stage: Stage, *words: str) -> dict[str, Any]:
    said = stage.cli(*words, "--json").json
    assert isinstance(said, dict)
    return said


def test_a_rollback_deploys_what_ran_with_its_import_map_and_static_files(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(one("v1"), "v1")
    assert told(stage, "push", "prod")["status"] == "succeeded"
    before = api.project.functions["one"]
    assert before.metadata["import_map_path"] == MAP
    stage.commit(one("v2"), "v2")
    assert told(stage, "push", "prod")["status"] == "succeeded"

    back = told(stage, "functions", "prod", "rollback", "one")

    assert back["status"] == "succeeded", back
    after = api.project.functions["one"]
    assert after.metadata == before.metadata
    assert sorted(after.files) == sorted(before.files)
    assert (after.said["import_map"], after.said["version"]) == (True, 3)
    assert told(stage, "functions", "prod", "deploy", "one")["status"] == "succeeded"
    assert (
        told(
            stage,
            "functions",
            "prod",
            "rollback",
            "one",
        )["status"]
        == "succeeded"
    )


def test_what_cannot_be_put_back_is_refused_before_anybody_is_asked(stage: Stage, api: SupabaseApi) -> None:
    assert told(stage, "functions", "prod", "deploy", "one")["status"] == "succeeded"
    api.project.lost = (".html",)
    stage.commit(one("v5"), "v5")
    assert told(stage, "push", "prod")["status"] == "succeeded"
    asked = len(stage.events("requested"))

    refused = stage.cli("functions", "prod", "rollback", "one", "--json")

    api.project.lost = ()
    assert (refused.code, refused.json["reason"]) == (3, "not_allowed")
    assert "not all of the files" in refused.json["message"]
    assert len(stage.events("requested")) == asked
    hint = refused.json["hint"].split("`")[1].split()
    assert hint[-2] == "--commit"
    assert told(stage, *hint)["status"] == "succeeded"


def test_a_deploy_by_somebody_else_during_the_run_is_not_run_over(stage: Stage, api: SupabaseApi) -> None:
    stage.commit({**one("v6"), **two("v1")}, "both")
    assert told(stage, "push", "prod")["status"] == "succeeded"
    stage.commit({**one("v7"), **two("v2")}, "both again")
    api.requests.clear()
    api.fail("POST .*/functions/deploy", "slow", done=True, seconds=1.5)

    def deploy_theirs() -> None:
        deadline = time.monotonic() + 30
        while not api.seen("POST .*/functions/deploy") and time.monotonic() < deadline:
            time.sleep(0.02)
        with api.lock:
            api.project.put_function("two", "theirs")

    other = threading.Thread(target=deploy_theirs)
    other.start()
    ended = told(stage, "push", "prod")
    other.join(30)
    api.heal()

    assert (ended["status"], "two" in ended["message"]) == ("superseded", True), ended
    assert api.project.functions["two"].files[0][1] == b"theirs"
    assert not api.seen("PUT .*/functions")
    kept = [(event.data or {})["version"] for event in stage.events("function_kept")]
    assert api.project.functions["two"].said["version"] in kept
    assert told(stage, "push", "prod")["status"] == "succeeded"


def test_a_run_that_left_nothing_says_how_it_is_asked_for_again(stage: Stage, api: SupabaseApi) -> None:
    stage.commit(two("v3"), "refused")
    api.fail("POST .*/functions/deploy", 402)
    failed = told(stage, "push", "prod")
    api.heal()
    assert failed["status"] == "failed"
    assert "`push prod` asks for it again" in failed["hint"]
    assert "resume" not in failed["hint"]
    assert told(stage, "push", "prod")["status"] == "succeeded"


def test_behind_a_function_that_does_not_answer_the_rest_is_looked_at_all_the_same(
    stage: Stage, api: SupabaseApi
) -> None:
    stage.commit(two("broken"), "broken")
    api.fail("OPTIONS /functions/v1/two", 503, times=4)  # before the run, and three tries behind it
    ended = told(stage, "push", "prod")
    api.heal()
    steps = {step["step"]: step["outcome"] for step in ended["steps"]}
    assert (ended["status"], ended["reason"]) == ("partially_applied", "health_failed")
    assert [steps[name] for name in ("functions", "secrets", "health")] == ["failed", "done", "done"]
    again = told(stage, "push", "prod")
    assert again["status"] == "nothing_to_do"
    assert again["failing"]["request"] == ended["request"]
    back = told(stage, "functions", "prod", "rollback", "two")
    assert back["status"] == "succeeded", back
    assert told(stage, "functions", "prod", "deploy", "two")["status"] == "succeeded"
    assert "failing" not in told(stage, "push", "prod")


def test_a_push_of_functions_alone_takes_the_backup_that_the_policy_names(stage: Stage) -> None:
    stage.config.write_text(stage.config.read_text().replace('backup = "none"', 'backup = "intact"'))
    stage.commit(two("with a backup"), "with a backup")
    ended = told(stage, "push", "prod")
    assert ended["status"] == "succeeded", ended
    order = [one.kind for one in stage.events("backup_proven", "function_deploy_sent")]
    assert order[-2:] == ["backup_proven", "function_deploy_sent"]
    proofs = len(stage.events("backup_proven"))
    back = stage.cli("functions", "prod", "rollback", "two")
    assert "no backup of it is taken" in stage.cli("show", "--json", stage.events("requested")[-1].request or "").out
    assert back.code == 0
    assert len(stage.events("backup_proven")) == proofs


SOURCE = FunctionSource(
    "one", ENTRY, MAP, ("supabase/functions/one/*.html",), None,
    (FunctionFile(ENTRY, b"1"), FunctionFile(END, b"2"), FunctionFile(MAP, b"{}"), FunctionFile(PAGE, b"<p>")),
)  # fmt: skip


def body(*files: tuple[str, bytes], entry: str = ROOT + ENTRY) -> FunctionBody:
    return FunctionBody({"deno2_entrypoint_path": entry}, tuple(FunctionFile(*each) for each in files))


WHOLE = tuple((one.path, one.content) for one in SOURCE.files)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (body(*WHOLE), ""),
        (body(*WHOLE, entry=ENTRY), ""),
        (body(*((f"source/{path}", content) for path, content in WHOLE), entry=ENTRY), ""),
        (body(*((f"/srv/user_fn_x_1/source/{path}", content) for path, content in WHOLE)), ""),
        (body(("index.ts", b"1"), ("../_shared/end.ts", b"2"), ("deno.json", b"{}"), ("p.html", b"<p>")), ""),
        (body(*WHOLE[:3]), ""),
        (body(*WHOLE, ("supabase/functions/one/more.ts", b"theirs")), "more.ts is there"),
        (body(WHOLE[0], *WHOLE[2:]), "end.ts does not come back"),
        (body((ENTRY, b"other"), *WHOLE[1:]), "index.ts is not what was uploaded"),
        (body(*WHOLE[1:]), "the entry index.ts does not come back"),
        (body(*WHOLE, entry="supabase/functions/one/p.html"), "the entry index.ts does not come back"),
        (body(*((f"{root}/{path}", data) for root in "ab" for path, data in WHOLE), entry=ENTRY), "the entry"),
        (body(), "the entry index.ts does not come back"),
    ],
)
def test_what_comes_back_is_known_wherever_it_lies_and_nothing_else_is(there: FunctionBody, words: str) -> None:
    said = contradicts(there, SOURCE)
    assert (words in said) if words else not said
    assert is_body_of(there, SOURCE) == (not words and len(there.files) == len(WHOLE))


def runs(**more: Any) -> Function:
    return Function(id="1", slug="one", name="one", status="ACTIVE", version=3, **more)


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (runs(), ""),
        (runs(import_map=True), ""),
        (runs(import_map=False), "its import map is missing"),
        (runs(import_map=True, entrypoint_path=ROOT + ENTRY, import_map_path=ROOT + MAP), ""),
        (runs(import_map=True, entrypoint_path=ROOT + ENTRY, import_map_path=ROOT + "deno.json"), "its import map is"),
    ],
)
def test_metadata_that_is_not_what_was_sent_is_seen(running: Function, words: str) -> None:
    said = metadata_contradicts(running, SOURCE)
    assert words in said
    assert bool(said) == bool(words)


RECIPE = Recipe(SOURCE.entrypoint, SOURCE.import_map, SOURCE.static_patterns)


@pytest.mark.parametrize(
    ("kept", "usable", "unknown"),
    [
        (Kept("k", 3, True, body(*WHOLE), deployed=Deployed(SOURCE.sha256, "c", RECIPE)), True, 0),
        (Kept("k", 3, True, body(*WHOLE[:3]), deployed=Deployed(SOURCE.sha256, "c", RECIPE)), False, 0),
        (Kept("k", 3, True, body(*WHOLE), ROOT + ENTRY, ROOT + MAP, import_map=True), True, 1),
        (Kept("k", 3, True, body(*WHOLE[:2]), ROOT + ENTRY, ROOT + MAP, import_map=True), False, 1),
        (Kept("k", 3, True, body(*WHOLE), import_map=True), False, 1),
        (Kept("k", 3, True, body(*WHOLE)), True, 2),
        (Kept("k", 3, True, body(*WHOLE, entry="")), False, 2),
    ],
)
def test_what_is_kept_is_put_back_whole_or_refused(kept: Kept, usable: bool, unknown: int) -> None:
    source = source_of("one", kept)
    assert (not unusable(source, kept), len(unknown_of(kept))) == (usable, unknown)
    if kept.deployed is not None and usable:
        assert source.sha256 == SOURCE.sha256
    if kept.import_map and usable:
        assert source.import_map == MAP
