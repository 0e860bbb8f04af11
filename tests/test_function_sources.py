"""What the CLI would upload of a commit, read from git alone: import graph, import maps, config.toml, static files."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.errors import OpsError
from ops.repository import Repository
from ops.supabase.function_changes import Change
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_changes import changes_of
from ops.supabase.function_changes import contradicts
from ops.supabase.function_changes import is_body_of
from ops.supabase.function_smoke import judge
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import functions_at
from ops.supabase.import_graph import imported_names
from ops.supabase.import_graph import without_comments
from ops.supabase.models import Function
from ops.supabase.models import FunctionBody
from ops.supabase.models import FunctionFile
from sandbox.stage import git
from sandbox.supabase_api import SupabaseApi

Sources = Callable[..., dict[str, FunctionSource]]
HELLO = "supabase/functions/hello/index.ts"
REF = "abcdefghijklmnopqrst"


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    def read(
        files: dict[str, str | bytes], ref: str = "", links: dict[str, str] | None = None
    ) -> dict[str, FunctionSource]:
        folder = tmp_path / "repository"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        for name, to in (links or {}).items():
            (folder / name).symlink_to(to)
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all")
        git(folder, "-c", "user.name=Mia", "-c", "user.email=m@x", "commit", "--quiet", "-m", "x")
        repository = Repository(str(folder), tmp_path / "cache")
        repository.update()
        return {one.slug: one for one in functions_at(repository, repository.resolve("main"), ref)}

    return read


def paths(source: FunctionSource) -> list[str]:
    return [one.path.removeprefix("supabase/functions/") for one in source.files]


RECORDED = {
    "supabase/config.toml": '[functions.hello]\nverify_jwt = false\nstatic_files = ["./functions/hello/*.html"]\n',
    "supabase/functions/hello/deno.json": '{"imports":{}}',
    "supabase/functions/hello/page.html": "<p>",
    HELLO: 'import {x} from "../_shared/x.ts";\nimport y from "npm:zod@3";\nDeno.serve(()=>new Response(x));\n',
    "supabase/functions/_shared/x.ts": 'export const x="hi";\n',
}


def test_the_upload_is_the_one_that_the_cli_was_recorded_with(sources: Sources) -> None:
    """Names, order, bytes and metadata as CLI 3.1.0 sent them for these very files."""
    source = sources(RECORDED)["hello"]
    assert [(one.path, one.content.decode()) for one in source.files] == [
        (path, str(RECORDED[path]))
        for path in (
            "supabase/functions/hello/deno.json",
            "supabase/functions/hello/page.html",
            HELLO,
            "supabase/functions/_shared/x.ts",
        )
    ]
    assert json.dumps(source.metadata(None).to_json(), separators=(",", ":")) == (
        '{"entrypoint_path":"supabase/functions/hello/index.ts","import_map_path":"supabase/functions/hello/deno.json",'
        '"static_patterns":["supabase/functions/hello/*.html"],"verify_jwt":false,"name":"hello"}'
    )


def test_the_graph_follows_import_maps_scopes_and_folders(sources: Sources) -> None:
    source = sources(
        {
            HELLO: 'import a from "lib/a.ts";\nexport { b } from "@b";\nconst c = await import("./c.json", { with: {} });\n',
            "supabase/functions/hello/deno.jsonc": """{ // comment with "quotes"
              "imports": { "lib/": "../_lib/", "@b": "../_b.ts", "zod": "npm:zod", },
              "scopes": { "../_lib/": { "@b": "../_scoped.ts" } }, /* end */ }""",
            "supabase/functions/hello/c.json": "{}",
            "supabase/functions/_lib/a.ts": 'import "@b"; import "./missing.ts"; import "/etc/passwd.ts";',
            "supabase/functions/_lib/unused.md": "taken along with its folder",
            "supabase/functions/_b.ts": "export const b = 1;",
            "supabase/functions/_scoped.ts": "export const s = 1;",
        }
    )["hello"]
    assert not source.problem
    assert set(paths(source)) == {
        *("hello/deno.jsonc", "hello/index.ts", "hello/c.json"),
        *("_lib/a.ts", "_lib/unused.md", "_b.ts", "_scoped.ts"),
    }
    assert len(source.warnings) == 2


@pytest.mark.parametrize(
    ("config", "more", "problem"),
    [
        ('[functions.hello]\nentrypoint = "./functions/hello/gone.ts"\n', {}, "its entry"),
        ('[functions.hello]\nverify_jwt = "no"\n', {}, "verify_jwt"),
        ('[functions.hello]\nentrypoint = "../../../etc/passwd"\n', {}, "outside"),
        ('[functions.hello]\nimport_map = "/etc/map.json"\n', {}, "outside the repository"),
        ('[functions.hello]\nimport_map = "./gone.json"\n', {}, "is not there"),
        ("", {"supabase/functions/hello/import_map.json": "{}"}, "rename it to deno.json"),
        ("", {"supabase/functions/hello/deno.json": '{"imports": {"x": 1}}'}, "no text"),
        ("", {"supabase/functions/hello/deno.json": '{"importMap": "./deno.json"}'}, "leads back to itself"),
        ("", {"supabase/functions/hello/deno.json": '{"imports": {"x": "./gone.ts"}}'}, "not there"),
        ('[functions.hello]\nstatic_files = ["./functions/*"]\n', {}, "holds? the folder|hold the folder"),
    ],
)
def test_a_function_that_cannot_be_deployed_says_why(
    sources: Sources, config: str, more: dict[str, str], problem: str
) -> None:
    found = sources({"supabase/config.toml": config, HELLO: "1", **more})["hello"]
    assert re.search(problem, found.problem), found.problem


def test_a_link_is_not_followed(sources: Sources) -> None:
    files: dict[str, str | bytes] = {HELLO: 'import "./secret.ts";', "supabase/functions/hello/a.ts": ""}
    found = sources(files, links={"supabase/functions/hello/secret.ts": "/etc/passwd"})["hello"]
    assert "symbolic link" in found.problem


def test_config_of_the_project_goes_over_that_of_all(sources: Sources) -> None:
    config = (
        "[functions.hello]\nverify_jwt = true\n[functions.off]\nenabled = false\n"
        f'[remotes.prod]\nproject_id = "{REF}"\n[remotes.prod.functions.hello]\nverify_jwt = false\n'
        "[db]\nunknown_to_us = 1\n"
    )
    found = sources({"supabase/config.toml": config, HELLO: "1", "supabase/functions/off/index.ts": "1"}, REF)
    assert list(found) == ["hello"]
    assert found["hello"].verify_jwt is False


def test_config_that_is_no_toml_is_told(sources: Sources) -> None:
    with pytest.raises(OpsError, match="no TOML"):
        sources({"supabase/config.toml": "[functions", HELLO: "1"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("import x from './a.ts'", ["./a.ts"]),
        ('import type {\n  A,\n  B,\n} from "../b.ts";', ["../b.ts"]),
        ("export * from './c.ts';export {d} from \"./d.ts\"", ["./c.ts", "./d.ts"]),
        ("import './e.ts'", ["./e.ts"]),
        ("await import('./f.ts'); import( \"./g.json\", {})", ["./f.ts", "./g.json"]),
        ("await import(name)", []),
        ("import x\n  from 'y.ts'", ["y.ts"]),
    ],
)
def test_imports_are_found_as_the_cli_finds_them(text: str, names: list[str]) -> None:
    assert list(imported_names(text)) == names


@pytest.mark.parametrize(
    "hostile", ["import " * 40_000, "import" + " " * 200_000, "import {" * 30_000, "import x\n" * 40_000]
)
def test_a_hostile_file_costs_time_in_proportion(hostile: str) -> None:
    assert list(imported_names(hostile)) == []


def test_comments_go_and_texts_stay() -> None:
    read = json.loads(without_comments('{"a": "// no /* comment */", /* b */ "c": ["x", ], // end\n}'))
    assert read == {"a": "// no /* comment */", "c": ["x"]}


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


CLI = os.environ.get("COUNTERSIGN_TEST_SUPABASE", "")


@pytest.mark.skipif(not CLI or not Path(CLI).exists(), reason="the Supabase CLI is not here; .ci/run installs it")
def test_the_real_cli_uploads_the_same(sources: Sources, supabase_api: SupabaseApi, tmp_path: Path) -> None:
    """Import maps with scopes and comments, a folder in one, a file outside of supabase/, patterns, what is not there."""
    found = sources(
        {
            "supabase/config.toml": '[functions.hello]\nverify_jwt = true\nstatic_files = ["./functions/hello/**/*.html", '
            '"./functions/_data/[ab]?.txt"]\n[functions.world]\nverify_jwt = false\nentrypoint = "./functions/world/m.tsx"\n'
            'import_map = "./functions/maps/world.json"\n[functions.off]\nenabled = false\n',
            HELLO: 'import a from "lib/a.ts";\nexport { b } from "@b";\nawait import("./c.json", { with: {} });\n'
            'import type {\n X,\n Y } from "../_types/x.ts";\nimport "../../../src/util.ts";\n// import "../_b2.ts"\n',
            "supabase/functions/hello/deno.jsonc": '{ // "a"\n"imports": { "lib/": "../_lib/", "@b": "../_b.ts", "z": '
            '"npm:z", },\n"scopes": { "../_lib/": { "@b": "../_scoped.ts" } }, /* end */ }',
            "supabase/functions/hello/c.json": "{}",
            "supabase/functions/hello/sub/p.html": "<p>é",
            "supabase/functions/_data/a1.txt": "1",
            "supabase/functions/_data/c1.txt": "1",
            "supabase/functions/_types/x.ts": "export type X = 1; export type Y = 2",
            "supabase/functions/_lib/a.ts": 'import "@b"; import "./missing.ts"; import "/etc/passwd.ts";',
            "supabase/functions/_lib/deep/unused.md": "taken along",
            "supabase/functions/_b.ts": "export const b = 1;",
            "supabase/functions/_b2.ts": "2",
            "supabase/functions/_scoped.ts": "3",
            "supabase/functions/world/m.tsx": 'import { k } from "k"; import "../_b.ts";',
            "supabase/functions/maps/world.json": '{"imports": {"k": "./k.ts", "r": "https://deno.land/x/r.ts"}}',
            "supabase/functions/maps/k.ts": "1",
            "supabase/functions/off/index.ts": "1",
            "src/util.ts": "export {}",
        }
    )
    token = {"SUPABASE_YES": "1", "DO_NOT_TRACK": "1", "SUPABASE_ACCESS_TOKEN": supabase_api.token}
    to = (f"--remote={supabase_api.project.ref}", "--profile", str(supabase_api.write_profile(tmp_path)))
    subprocess.run(
        [CLI, "functions", "deploy", "--use-api", *to],
        cwd=tmp_path / "repository",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **token},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=True,
    )
    sent = {dict(one.query)["slug"]: one.parts for one in supabase_api.seen("POST .*/functions/deploy")}
    assert sorted(sent) == ["hello", "world"] == sorted(found)
    for slug, parts in sent.items():
        ours = [("file", one.path, one.content) for one in found[slug].files]
        assert [part for part in parts if part[0] == "file"] == ours
        assert json.loads(parts[-1][2]) == found[slug].metadata(None).to_json()
