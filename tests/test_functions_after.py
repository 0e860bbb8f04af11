"""What counts as having been deployed where functions must have run first."""

from dataclasses import replace
from pathlib import Path

import pytest
from audit_support import of_request
from audit_support import requested

from audit import Log
from audit import Reader
from ops.errors import OpsError
from ops.settings import read_settings
from ops.supabase.function_after import check_functions_after
from ops.supabase.function_changes import Change
from ops.supabase.function_changes import FunctionChange
from ops.targets import find_target

SETTINGS = b"""
[projects.shop]
repository = "repository"
[projects.shop.environments.dev]
database_url = "$A"
branch = "main"
approvals = 0
project_ref = "abcdefghijklmnopqrst"
[projects.shop.environments.prod]
database_url = "$B"
branch = "main"
approvals = 0
project_ref = "bbcdefghijklmnopqrst"
after = ["dev"]
"""
STARTED: dict[str, object] = {"digest": "d" * 64, "attempt": 1, "runner": "host/1", "facts": {}}
HALF: dict[str, object] = {
    "reason": "health_failed",
    "message": "hello answers 503.",
    "step": "functions",
    "applied": [],
}
HALF |= {"not_applied": [], "within": None, "stopped_by": None}


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([], "does not run on dev with these bytes"),
        ([("aa", "succeeded")], ""),
        ([("aa", "partially_applied")], "did not succeed"),
        ([("aa", "succeeded"), ("bb", "succeeded")], "does not run on dev with these bytes"),
        ([("bb", "succeeded"), ("aa", "succeeded")], ""),
        ([("aa", "succeeded"), ("aa", "partially_applied")], "did not succeed"),
    ],
)
def test_only_the_newest_of_a_run_that_succeeded_counts(
    tmp_path: Path, runs: list[tuple[str, str]], words: str
) -> None:
    target = find_target(read_settings(SETTINGS, tmp_path / "countersign.toml"), "prod")
    change = FunctionChange("hello", Change.CHANGED, "aa", True, {}, None)
    Log.create(tmp_path / "log.db")
    with Log.open(tmp_path / "log.db") as log:
        for number, (sha256, end) in enumerate(runs, 1):
            request = f"R-{number}"
            deployed: dict[str, object] = {"slug": "hello", "change": "changed", "sha256": sha256, "version": number}
            deployed |= {"ezbr_sha256": None, "kept": ""}
            ending = HALF if end == "partially_applied" else {"applied": [], "seconds": 1.0}
            events = [("started", STARTED), ("function_deployed", deployed), (end, ending)]
            log.append([requested(request, environment="dev")])
            for kind, data in events:
                log.append([replace(of_request(kind, request, **data), project="shop", environment="dev")])
        try:
            check_functions_after(Reader(tmp_path / "log.db"), target, [change])
            said = ""
        except OpsError as error:
            said = error.message
    assert words in said
    assert bool(said) == bool(words)
