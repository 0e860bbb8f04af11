"""A bot that CI can reach, and a job that asks it: the real bot, the real client, a GitHub of our own."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from people_talk import rules

from sandbox.github import STATUS_TOKEN
from sandbox.github import FakeGithub
from sandbox.stage import Ran
from sandbox.stage import Stage

BEARER = "b" * 40
ROOT = Path(__file__).parent.parent

LISTENS = """
[listener]
listen = "127.0.0.1:{port}"
url = "http://127.0.0.1:{port}"

[ci]
issuer = "{github}"
[[ci.github]]
repository_id = "712345678"
project = "shop"
environments = ["prod"]
ref = "refs/heads/main"
workflow = "acme/shop/.github/workflows/production.yml"
[[ci.github]]
repository_id = "712345678"
project = "shop"
environments = ["dev"]
ref = "refs/heads/develop"
workflow = "acme/shop/.github/workflows/dev.yml"
[[ci.tokens]]
name = "elsewhere"
token = "$SHOP_CI_TOKEN"
project = "shop"
environments = ["dev"]

[github]
token = "$GITHUB_STATUS_TOKEN"
api_url = "{github}"
repositories = {{ shop = "acme/shop" }}
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def listening(make_stage: Callable[..., Stage], github: FakeGithub, prod: str | None = None) -> tuple[Stage, str]:
    """A stage whose bot listens for CI, with one pending migration, and the address by which jobs reach it."""
    port = free_port()
    secrets = {"SHOP_CI_TOKEN": BEARER, "GITHUB_STATUS_TOKEN": STATUS_TOKEN}
    stage = make_stage(prod=prod or rules(), empty=True, environment=secrets)
    stage.config.write_text(stage.config.read_text() + LISTENS.format(port=port, github=github.url))
    stage.migration("20260101000001_add_notes.sql", "create table public.notes (id int primary key);\n")
    stage.start_bot()
    return stage, f"http://127.0.0.1:{port}"


def job_environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a runner has: no configuration, no log, no database, no Slack."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **more}


WORKFLOWS = ROOT / "docs" / "ci"


def workflow(name: str) -> dict[Any, Any]:
    """One of the example workflows, as YAML reads it; its `on` is the key True."""
    found: dict[Any, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yaml").read_text())
    return found


def steps(name: str, job: str) -> list[dict[str, Any]]:
    """The steps of a job that run something."""
    return [step for step in workflow(name)["jobs"][job]["steps"] if "run" in step]


def run_steps(
    name: str, job: str, folder: Path, environment: Mapping[str, str], contexts: Mapping[str, str], said: str = ""
) -> Ran:
    """Run them as GitHub does, with bash, until one fails; `said` stands for the only duration in them, if given."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "countersign").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m countersign "$@"\n')
    (tools / "countersign").chmod(0o755)
    base = job_environment({**environment, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")})
    base["PATH"] = f"{tools}:{base['PATH']}"
    code, out, err = 0, "", ""
    for step in steps(name, job):
        filled = {key: re.sub(r"\$\{\{ (.+?) \}\}", lambda m: contexts[m[1]], v) for key, v in step["env"].items()}
        script = re.sub(r"--wait \w+", f"--wait {said}", step["run"]) if said else step["run"]
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=folder,
            env={**base, **filled},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        code, out, err = ran.returncode, out + ran.stdout, err + ran.stderr
        if code:
            break
    return Ran(code, out, err)
