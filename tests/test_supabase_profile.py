"""The real Supabase CLI beside us at one Management API: what it deploys we list, and the other way round.

Needs the CLI: $COUNTERSIGN_TEST_SUPABASE. `--profile` leads it to the API of the sandbox.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from supabase_support import client_of
from supabase_support import managed

from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

CLI = os.environ.get("COUNTERSIGN_TEST_SUPABASE", "")
FILES: dict[str, str | bytes] = {
    "supabase/config.toml": 'project_id = "shop"\n[functions.hello]\nverify_jwt = false\nstatic_files = ["./*.html"]\n'
    "[functions.other]\nverify_jwt = true\n",
    "supabase/functions/hello/index.ts": 'import {x} from "../_shared/x.ts";\nDeno.serve(() => new Response(x));\n',
    "supabase/functions/hello/deno.json": '{"imports": {}}',
    "supabase/functions/hello/page.html": "<p>",
    "supabase/functions/_shared/x.ts": 'export const x = "é";\n',
    "supabase/functions/other/index.ts": "Deno.serve(() => new Response('other'));\n",
}

pytestmark = pytest.mark.skipif(
    not CLI or not Path(CLI).exists(), reason="the Supabase CLI is not here; .ci/run installs it"
)


@dataclass
class Desk:
    """One repository, one project behind one API, and both programs."""

    stage: Stage
    api: SupabaseApi

    def supabase(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the CLI as a person would, from the repository."""
        quiet = {"SUPABASE_YES": "1", "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.stage.folder), **quiet}
        environment["SUPABASE_ACCESS_TOKEN"] = self.api.token
        profile = self.api.write_profile(self.stage.folder)
        return subprocess.run(
            [CLI, *arguments, "--profile", str(profile)],
            cwd=self.stage.repository,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def on(self, *arguments: str) -> Any:
        """What the CLI says as JSON about the project."""
        ran = self.supabase(*arguments, f"--remote={self.api.project.ref}", "--output-format=json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def uploads(self) -> dict[str, list[tuple[str, str | None, bytes]]]:
        """The parts of the last upload of each function, without what differs from program to program."""
        return {dict(seen.query)["slug"]: list(seen.parts) for seen in self.api.seen("POST .*/functions/deploy")}


@pytest.fixture(scope="module")
def desk(local_postgres: LocalPostgres) -> Iterator[Desk]:
    rules = 'approvals = 0\nbackup = "none"\n'
    with (
        SupabaseApi() as api,
        Stage(**managed(api, prod=rules, empty=True), postgres=local_postgres, rate_limits=False) as stage,
    ):
        stage.commit(FILES)
        yield Desk(stage, api)


def test_what_the_cli_deployed_is_no_change_to_us_and_what_we_deploy_it_downloads(desk: Desk) -> None:
    """Both upload the same parts, byte for byte, in the same order; so nothing is deployed twice."""
    deployed = desk.supabase("functions", "deploy", "--use-api", f"--remote={desk.api.project.ref}")
    assert deployed.returncode == 0, deployed.stderr
    theirs = desk.uploads()

    plan = desk.stage.cli("plan", "prod", "--json").json
    pushed = desk.stage.cli("push", "prod", "--json").json

    assert {one["slug"]: one["change"] for one in plan["functions"]} == {"hello": "unchanged", "other": "unchanged"}
    assert pushed["status"] == "nothing_to_do"

    desk.api.project.functions.clear()
    assert desk.stage.cli("push", "prod", "--json").json["status"] == "succeeded"
    assert desk.uploads() == theirs
    assert {one["slug"]: one["status"] for one in desk.on("functions", "list")["functions"]} == {
        "hello": "ACTIVE",
        "other": "ACTIVE",
    }
    source = desk.stage.repository / "supabase" / "functions" / "hello" / "index.ts"
    source.write_text("lost")
    assert (
        desk.supabase("functions", "download", "hello", "--use-api", f"--remote={desk.api.project.ref}").returncode == 0
    )
    assert source.read_text() == FILES["supabase/functions/hello/index.ts"]


def test_secrets_that_either_sets_have_one_digest(desk: Desk) -> None:
    with client_of(desk.api) as client:
        client.set_secrets([("OURS", "same")])
        desk.on("secrets", "set", "THEIRS=same")

        listed = {one["name"]: one["value"] for one in desk.on("secrets", "list")["secrets"]}
        assert {one.name: one.digest for one in client.secrets()} == listed
        assert listed["OURS"] == listed["THEIRS"]

        desk.on("secrets", "unset", "OURS")
        assert [one.name for one in client.secrets()] == ["THEIRS"]


def test_backups_and_the_project_are_the_same_to_both(desk: Desk) -> None:
    backup = {"id": 7, "is_physical_backup": True, "status": "COMPLETED", "inserted_at": "2026-11-22T01:00:00Z"}
    desk.api.project.backups.append(backup)

    assert desk.on("backups", "list")["backups"] == [backup]
    with client_of(desk.api) as client:
        assert [one.model_dump() for one in client.backups().backups] == [backup]
        assert client.project().name == "shop"
    linked = desk.supabase("link", "--project-ref", desk.api.project.ref)
    assert linked.returncode == 0, linked.stderr
    assert (desk.stage.repository / "supabase/.temp/project-ref").read_text() == desk.api.project.ref


def test_what_fails_on_command_fails_for_the_cli_too(desk: Desk) -> None:
    desk.api.fail("GET .*/functions$", 403, times=9)

    listed = desk.supabase("functions", "list", f"--remote={desk.api.project.ref}")
    desk.api.heal()

    assert listed.returncode == 1
    assert "403" in listed.stderr
