"""What the CLI would upload of a commit, read from git alone: import graph, import maps, config.toml, static files."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.errors import OpsError
from ops.hazards.functions import function_hazards
from ops.repository import Repository
from ops.supabase.function_changes import changes_of
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import functions_at
from ops.supabase.import_map import resolve
from ops.supabase.import_map import without_comments
from ops.supabase.module_imports import imports_in
from ops.supabase.remote_imports import unpinned
from ops.supabase.static_patterns import is_static
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
            "supabase/functions/_lib/a.ts": 'import "@b"; import("./missing.ts"); import("/etc/passwd.ts");',
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
    assert [one.name for one in imports_in(text)] == names


@pytest.mark.parametrize(
    "hostile", ["import " * 40_000, "import" + " " * 200_000, "import {" * 30_000, "import x\n" * 40_000]
)
def test_a_hostile_file_costs_time_in_proportion(hostile: str) -> None:
    assert imports_in(hostile) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ('import a from "./a.ts"; // import "./b.ts"', ["static", "mentioned"]),
        ('\ufeffimport{a}from"./a.ts"', ["static"]),
        ('const r = /"/; import "./a.ts"', ["static"]),
        ('const s = `x ${ `import "./t.ts"` } y`; import "./b.ts"', ["mentioned", "static"]),
        ('import type { A } from "./a.ts"; let z: typeof import("./c.ts")', ["types", "types"]),
        ('import.meta.url; await import("./a.ts"); x.import("./b.ts")', ["dynamic", "mentioned"]),
        ('import { /* it\'s */ "x y" as z } from "./a.ts"', ["static"]),
        ('export const p = "./a.ts"', ["mentioned"]),
    ],
)
def test_what_an_import_is_for(text: str, kinds: list[str]) -> None:
    assert [one.kind for one in imports_in(text)] == kinds


def plain_or_none(text: str) -> str | None:
    try:
        return without_comments(text)
    except ValueError:
        return None


@pytest.mark.parametrize(
    "cost",
    [
        lambda: imports_in("`${" * 60_000 + "=/[" * 60_000 + '"\\' * 60_000),
        lambda: imports_in("import(" * 40_000 + "import 'x " * 20_000),
        lambda: without_comments(", " * 80_000),
        lambda: plain_or_none("/* " * 80_000),
        lambda: plain_or_none('"\\' * 80_000),
        lambda: is_static(["*a" * 6 + "*b", "**a" * 90 + "b"], "a" * 4_000),
        lambda: resolve(({f"k{one}/": "/x/" for one in range(50_000)},), "k/" * 100),
        lambda: ["" for _ in range(2_000) if unpinned("npm:" + "@" * 2_000)],
    ],
)
def test_hostile_files_are_read_in_no_time(cost: Callable[[], object]) -> None:
    began = time.process_time()
    cost()
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        *(("a/**/*.html", "a/b/c.html", True), ("a/**/*.html", "a/c.html", False), ("*.t", "a/b.t", False)),
        *(("[ab]?.txt", "a1.txt", True), ("[!a]", "b", True), ("[!a]", "a", False), ("**", "a/b", True)),
        *(("a*", "a", True), ("a.t", "abt", False), ("[z-a]", "z", False), ("a" * 301, "a" * 301, False)),
    ],
)
def test_patterns_of_static_files(pattern: str, path: str, fits: bool) -> None:
    assert is_static([pattern], path) is fits


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({HELLO: 'import "./gone.ts"'}, r"hello/gone\.ts is imported, but is not there"),
        ({HELLO: 'import "/etc/passwd.ts"'}, "outside the repository"),
        ({HELLO: 'import "./a.ts"', "supabase/functions/hello/a.ts": 'export * from "./gone.ts"'}, "not there"),
        ({HELLO: "import '" + "./a" * 200 + ".ts'"}, "more than 100 parts"),
        ({HELLO: 'import "./x.ts"\n' * 10_001, "supabase/functions/hello/x.ts": ""}, "more than 10,000 imports"),
        ({"supabase/functions/hello/deno.json": '{"imports": {}}' + " " * 2**18}, "larger than 256 KB"),
        ({"supabase/config.toml": f"[functions.hello]\nstatic_files = {['a'] * 21}"}, "more than 20 patterns"),
        ({HELLO: 'import("./gone.ts"); import type { X } from "./x.ts"'}, ""),
        ({HELLO: '// import "./gone.ts" "../../../../up.ts"\nconst s = `import "/etc/x.ts"`'}, ""),
        ({HELLO: 'import("./a.ts")', "supabase/functions/hello/a.ts": 'import "./gone.ts"'}, ""),
        ({HELLO: 'import "./a.ts"; import("./a.ts?x")', "supabase/functions/hello/a.ts": ""}, ""),
    ],
)
def test_what_cannot_start_is_a_problem_and_no_more(sources: Sources, more: dict[str, str], problem: str) -> None:
    found = sources({HELLO: "1", **more})["hello"].problem
    assert re.search(problem, found) if problem else not found


def test_a_bundle_is_searched_for_words_alone(sources: Sources) -> None:
    bundle = 'import "./gone.ts"; import "./a.ts"; import "npm:zod";\n' + "(){};" * 220_000
    began = time.process_time()
    found = sources({HELLO: bundle, "supabase/functions/hello/a.ts": ""})["hello"]
    assert time.process_time() - began < 1
    assert (found.problem, paths(found)) == ("", ["hello/index.ts", "hello/a.ts"])
    assert "too large to be read" in found.warnings[0]
    assert found.remote == ((HELLO, "npm:zod"),)


def test_a_name_that_is_too_long_is_told(sources: Sources) -> None:
    found = sources({f"supabase/functions/{'a' * length}/index.ts": "1" for length in (100, 101)})
    assert not found["a" * 100].problem
    assert "longer than 100 letters" in found["a" * 101].problem


def test_a_path_of_many_parts_is_refused(sources: Sources) -> None:
    deep = "a/" * 99
    found = sources({HELLO: f'import "./{deep}b.ts"', f"supabase/functions/hello/{deep}b.ts": "1"})["hello"]
    assert "has more than 100 parts" in found.problem
    assert not sources({HELLO: f'// import "./{"a/" * 900}b.ts"'})["hello"].problem


def test_what_is_fetched_from_elsewhere_is_named(sources: Sources) -> None:
    text = (
        'import "https://mia:pw@x.io/m@1.0.0.ts?token=t"; import "z"; import "npm:a@1.2.3/sub"; await import("jsr:@s/b@^1")\n'
        'import type { T } from "npm:types"; // import "npm:said"\nimport "jsr:@s/c@1.0.0-rc.1"; import "npm:@s/d"'
    )
    source = sources(
        {HELLO: text, "supabase/functions/hello/deno.json": '{"imports": {"z": "npm:zod@3", "u": "npm:u"}}'}
    )
    found = function_hazards(changes_of([source["hello"]], {}, {}, prune=False))
    told = [(one.level, one.message) for one in found if one.rule == "function-remote-import"]
    assert [level for level, _ in told] == ["caution"]
    assert told[0][1].endswith(": https://x.io/m@1.0.0.ts, npm:zod@3, jsr:@s/b@^1, npm:@s/d.")


def test_comments_go_and_texts_stay() -> None:
    read = json.loads(without_comments('{"a": "// no /* comment */", /* b */ "c": ["x", ], // end\n}'))
    assert read == {"a": "// no /* comment */", "c": ["x"]}


ODD = {
    "odd-comment": '// import "./a.ts"\n/* import "./b.ts" */\n// we import the data from "./c.ts", or from "./gone.ts"\n',
    "odd-default": 'import d, { x } from "./a.ts"\nimport * as n from "./b.ts"\n',
    "odd-export": 'export function f() { return "./a.ts"; }\nexport default "./b.ts"\n',
    "odd-lines": 'import\n  x\n  from\n  "./a.ts"\nexport {\n y\n}\nfrom\n"./b.ts"\n',
    "odd-pattern": 'const r = /"/; import "./a.ts"\n',
    "odd-template": 'const s = `import "./a.ts"`, t = "import(\'./b.ts\')";\n',
    "odd-types": 'import type { x } from "./a.ts"\nexport type { y } from "./b.ts"\nlet z: typeof import("./c.ts")\n',
    "odd-word": 'reimport "./a.ts"; const myexport = "./b.ts"; IMPORT x FROM "./c.ts"\n',
}
"""What the CLI takes for an import, since it knows no comments and no texts."""
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
            "supabase/functions/_lib/a.ts": 'import "@b"; import("./missing.ts"); import("/etc/passwd.ts");',
            "supabase/functions/_lib/deep/unused.md": "taken along",
            "supabase/functions/_b.ts": "export const b = 1;",
            "supabase/functions/_b2.ts": "2",
            "supabase/functions/_scoped.ts": "3",
            "supabase/functions/world/m.tsx": 'import { k } from "k"; import "../_b.ts";',
            "supabase/functions/maps/world.json": '{"imports": {"k": "./k.ts", "r": "https://deno.land/x/r.ts"}}',
            "supabase/functions/maps/k.ts": "1",
            "supabase/functions/off/index.ts": "1",
            **{f"supabase/functions/{slug}/index.ts": text for slug, text in ODD.items()},
            **{f"supabase/functions/{slug}/{name}.ts": "1" for slug in ODD for name in "abc"},
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
    assert sorted(sent) == ["hello", *sorted(ODD), "world"] == sorted(found)
    for slug, parts in sent.items():
        ours = [("file", one.path, one.content) for one in found[slug].files]
        assert [part for part in parts if part[0] == "file"] == ours
        assert json.loads(parts[-1][2]) == found[slug].metadata(None).to_json()
