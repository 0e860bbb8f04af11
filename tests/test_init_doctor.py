"""`init` makes a first configuration and log and never overwrites; `doctor` names each thing that is broken."""

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyrage
import pytest
import yaml

import countersign
from audit import verify
from bot.checks import SCOPES
from ops.settings import load_settings
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

ROOT = Path(__file__).parent.parent
ANSWERS = {
    "--channel": "C0ABC",
    "--project": "till",
    "--repository": "git@github.com:acme/till.git",
    "--dev-branch": "dev",
    "--prod-branch": "trunk",
    "--approvers": "U0BEN",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COUNTERSIGN_CONFIG", raising=False)
    return tmp_path


def init(**answers: str) -> int:
    """Run init with these answers in place of some of ANSWERS."""
    said = ANSWERS | {f"--{name.replace('_', '-')}": answer for name, answer in answers.items()}
    return countersign.main(["init", *(part for pair in said.items() for part in pair)])


def test_init_writes_a_configuration_that_loads_and_an_empty_log(folder: Path) -> None:
    assert init() == 0

    settings = load_settings(folder / "countersign.toml")
    environments = settings.projects["till"].environments
    assert settings.slack is not None
    assert settings.slack.channel == "C0ABC"
    assert settings.projects["till"].repository == "git@github.com:acme/till.git"
    assert (environments["dev"].branch, environments["dev"].approvals) == ("dev", 0)
    assert (environments["prod"].branch, environments["prod"].approvals) == ("trunk", 1)
    assert (environments["prod"].approvers, environments["prod"].backup_level) == (("U0BEN",), "restored")
    assert environments["prod"].database_url == "$TILL_PROD_DATABASE_URL"
    assert (verify(settings.log_path).ok, verify(settings.log_path).events) == (True, 0)
    assert settings.log_path.stat().st_mode & 0o077 == 0


def test_init_never_writes_over_anything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init() == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert init(project="other") == 2

    assert "countersign.toml is there already." in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_init_keeps_a_log_that_is_there(folder: Path) -> None:
    assert init() == 0
    (folder / "countersign.toml").unlink()
    log = (folder / "var" / "audit.db").read_bytes()

    assert init() == 0
    assert (folder / "var" / "audit.db").read_bytes() == log


def test_init_follows_no_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "countersign.toml").symlink_to(folder / "elsewhere.toml")

    assert init() == 2
    assert not (folder / "elsewhere.toml").exists()


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("project", "My Shop", "must be lower-case"),
        ("project", 'x"]\n[audit]\npath = "/tmp/mine', "must be lower-case"),
        ("project", "a.b", "must be lower-case"),
        ("channel", "#deploys", "a channel is given by its id"),
        ("approvers", "everybody", "is neither a group"),
        ("approvers", '@a", "@b', "is neither a group"),
        ("repository", "https://x:hunter2@git.example/a.git", "no user name, password or token"),
        ("dev_branch", 'x"\napprovals = 0\n#', "toml"),
    ],
)
def test_bad_answer_is_told_and_leaves_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, answer: str, told: str
) -> None:
    code = init(**{name: answer})

    said = capsys.readouterr().err
    if code == 0:  # text that is odd but harmless stays the text that it is
        branch = load_settings(folder / "countersign.toml").projects["till"].environments["dev"].branch
        assert branch == answer
        return
    assert (code, told in said, "hunter2" in said) == (2, True, False)
    assert list(folder.iterdir()) == []


def test_init_that_cannot_make_the_log_leaves_no_configuration(folder: Path) -> None:
    (folder / "var").write_text("a file where the folder should be")

    assert init() == 2
    assert [path.name for path in folder.iterdir()] == ["var"]


def test_init_of_a_project_that_begins_with_a_digit_loads(folder: Path) -> None:
    assert init(project="1st-shop") == 0
    prod = load_settings(folder / "countersign.toml").projects["1st-shop"].environments["prod"]
    assert prod.database_url == "$_1ST_SHOP_PROD_DATABASE_URL"


def test_init_asks_at_a_terminal_and_takes_enter_for_the_default(folder: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        words = [sys.executable, "-m", "countersign", "init", "--dev-branch", "dev"]
        os.execv(sys.executable, words)  # noqa: S606 - the child of a pty, no shell is wanted
    asked = b""
    answers = iter([b"C0XYZ\n", b"till\n", b"\n", b"\n", b"@dba\n"])
    while True:
        try:
            asked += os.read(terminal, 1000)
        except OSError:  # the terminal's other end is closed
            break
        if asked.rstrip().endswith(b":"):
            os.write(terminal, next(answers, b"\n"))
            asked += b" "
    _, status = os.waitpid(child, 0)
    os.close(terminal)

    settings = load_settings(folder / "countersign.toml")
    prod = settings.projects["till"].environments["prod"]
    assert os.waitstatus_to_exitcode(status) == 0
    assert settings.slack is not None
    assert (settings.slack.channel, prod.branch, prod.approvers) == ("C0XYZ", "main", ("@dba",))
    assert asked.count(b"]: ") == 5
    assert b"countersign doctor" in asked


def test_init_without_a_terminal_takes_the_defaults(folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "countersign", "init", "--json"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )

    assert b'"ok": true' in ran.stdout
    assert load_settings(folder / "countersign.toml").projects.keys() == {"shop"}


# --- doctor ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop(local_postgres: LocalPostgres) -> Iterator[Stage]:
    """A healthy world."""
    with Stage(postgres=local_postgres, rate_limits=False, empty=True) as stage:
        yield stage


Doctor = Callable[[], tuple[int, dict[str, Any]]]


@pytest.fixture
def doctor(shop: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Doctor]:
    """Ask the doctor; what a test breaks in the configuration or in Slack is mended after it."""
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    text, workspace, scopes = shop.config.read_text(), shop.slack.workspace, set(shop.slack.scopes)
    channels, groups = dict(workspace.channels), dict(workspace.groups)

    def ask() -> tuple[int, dict[str, Any]]:
        code = countersign.main(["doctor", "--json"])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        found: dict[str, Any] = yaml.safe_load(told.out)
        return code, found

    yield ask
    shop.config.write_text(text)
    workspace.channels.update(channels)
    workspace.groups.update(groups)
    shop.slack.scopes = scopes


def problems(found: dict[str, Any]) -> dict[str, str]:
    return {check["what"]: check["found"] for check in found["checks"] if check["state"] == "problem"}


def test_doctor_finds_nothing_wrong_with_a_healthy_world(doctor: Doctor) -> None:
    code, found = doctor()

    assert (code, found["ok"], problems(found)) == (0, True, {})
    looked_at = {check["what"] for check in found["checks"]}
    assert {"configuration", "log", "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "channel C0DEPLOYS"} <= looked_at
    assert {"group @database-owners", "shop/dev database", "shop/prod database", "shop/prod repository"} <= looked_at
    assert {"scratch cluster", "isolation", "overriders"} <= looked_at


def wrong_token(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-wrong")


def no_token(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN")


def wrong_app_token(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-wrong")


def no_way_in(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_APP_TOKEN")
    monkeypatch.delenv("SLACK_SIGNING_SECRET")


def slack_is_elsewhere(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/api/")


def scope_is_missing(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.slack.scopes.discard("usergroups:read")


def not_in_the_channel(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = shop.slack.workspace.channel("deploys")
    shop.slack.workspace.channels[channel.id] = replace(channel, members=())


def shared_channel(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = shop.slack.workspace.channel("deploys")
    shop.slack.workspace.channels[channel.id] = replace(channel, is_ext_shared=True)


def unknown_channel(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.config.write_text(shop.config.read_text().replace("C0DEPLOYS", "C0NOWHERE"))


def group_is_missing(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.config.write_text(shop.config.read_text().replace("@database-owners", "@database-ownres"))


def group_is_disabled(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, group in shop.slack.workspace.groups.items():
        shop.slack.workspace.groups[name] = replace(group, disabled=True)


def database_is_down(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PROD_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:9/prod")


def database_is_not_set(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_PROD_DATABASE_URL")


def branch_is_missing(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.config.write_text(shop.config.read_text().replace('branch = "main"', 'branch = "trunk"'))


def repository_is_missing(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.config.write_text(shop.config.read_text().replace('repository = "repository"', 'repository = "nowhere"'))


def header_is_not_set(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    health = '[[projects.shop.environments.prod.health]]\nname = "REST"\nurl = "http://127.0.0.1:9/"\n'
    shop.config.write_text(shop.config.read_text() + health + 'headers = { apikey = "$NOT_SET" }\n')


def nobody_can_give_a_code(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = "[projects.shop.environments.prod]\nsecond_factor = true"
    text = shop.config.read_text().replace("[projects.shop.environments.prod]", codes)
    monkeypatch.setenv("FACTOR_KEY", str(pyrage.x25519.Identity.generate()))
    shop.config.write_text(text + '\n[second_factor]\nkey = "$FACTOR_KEY"\n')


def tools_are_missing(shop: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.config.write_text(shop.config.read_text() + '\n[postgres]\nbin = "empty"\n')


BROKEN: list[tuple[Callable[[Stage, pytest.MonkeyPatch], None], str, str]] = [
    (wrong_token, "SLACK_BOT_TOKEN", "invalid_auth"),
    (no_token, "SLACK_BOT_TOKEN", "not set"),
    (wrong_app_token, "SLACK_APP_TOKEN", "invalid_auth"),
    (no_way_in, "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET is needed, which is not set"),
    (slack_is_elsewhere, "SLACK_BOT_TOKEN", "Slack did not answer"),
    (scope_is_missing, "scope usergroups:read", "missing"),
    (not_in_the_channel, "channel C0DEPLOYS", "/invite @Countersign"),
    (shared_channel, "channel C0DEPLOYS", "shared with another company"),
    (unknown_channel, "channel C0NOWHERE", "channel_not_found"),
    (group_is_missing, "group @database-ownres", "no such user group"),
    (group_is_disabled, "group @database-owners", "no such user group, or it is disabled"),
    (database_is_down, "shop/prod database", ""),
    (database_is_not_set, "shop/prod database", "SHOP_PROD_DATABASE_URL is not set"),
    (branch_is_missing, "shop/prod repository", "trunk"),
    (repository_is_missing, "shop/dev repository", "nowhere"),
    (header_is_not_set, "shop/prod health, header apikey", "NOT_SET is not set"),
    (nobody_can_give_a_code, "shop/prod second factor", "countersign enrol U0BEN` with them"),
    (tools_are_missing, "shop/prod database", "pg_dump and pg_restore are not"),
]


@pytest.mark.parametrize(("break_it", "what", "words"), BROKEN, ids=[one.__name__ for one, _, _ in BROKEN])
def test_doctor_names_what_is_broken(
    doctor: Doctor,
    shop: Stage,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[Stage, pytest.MonkeyPatch], None],
    what: str,
    words: str,
) -> None:
    break_it(shop, monkeypatch)

    code, found = doctor()

    assert (code, found["ok"]) == (1, False)
    assert words in problems(found)[what]
    assert "hunter2" not in str(found)
    assert "xoxb-wrong" not in str(found)


def test_doctor_without_a_log_says_everything_else_as_well(doctor: Doctor, shop: Stage) -> None:
    away = shop.log_path.with_name("away.db")
    shop.log_path.rename(away)
    try:
        code, found = doctor()
    finally:
        away.rename(shop.log_path)

    assert (code, found["reason"], list(problems(found))) == (2, "no_log", ["log"])


def test_doctor_names_a_damaged_log(doctor: Doctor, shop: Stage) -> None:
    away = shop.log_path.with_name("away.db")
    shop.log_path.rename(away)
    try:
        shop.log_path.write_bytes(b"no log" * 1000)
        code, found = doctor()
    finally:
        away.rename(shop.log_path)

    assert (code, list(problems(found))) == (1, ["log"])


def test_doctor_warns_of_what_others_may_read(doctor: Doctor, shop: Stage) -> None:
    (shop.folder / "url").write_text(shop.environment["SHOP_PROD_DATABASE_URL"])
    (shop.folder / "url").chmod(0o644)
    (shop.folder / "var" / "backups").mkdir(mode=0o755)
    shop.config.write_text(shop.config.read_text().replace("$SHOP_PROD_DATABASE_URL", "file:url"))
    shop.log_path.chmod(0o644)
    try:
        code, found = doctor()
    finally:
        shop.log_path.chmod(0o600)
        shutil.rmtree(shop.folder / "var" / "backups")

    warned = {check["what"] for check in found["checks"] if check["state"] == "warning"}
    assert code == 0
    assert {"log", "backups", "shop/prod secret"} <= warned


def test_doctor_names_a_configuration_that_does_not_load(doctor: Doctor, shop: Stage) -> None:
    shop.config.write_text(shop.config.read_text().replace("approvals = 0", ""))

    code, found = doctor()

    assert (code, found["reason"]) == (2, "bad_config")
    assert "dev.approvals is missing" in problems(found)["configuration"]


@pytest.mark.parametrize("name", ["manifest.yaml", "manifest.http.yaml"])
def test_doctor_asks_for_the_scopes_of_the_manifest_and_the_page_explains_them(name: str) -> None:
    scopes = set(yaml.safe_load((ROOT / name).read_text())["oauth_config"]["scopes"]["bot"])

    assert scopes == SCOPES.keys()
    page = (ROOT / "docs" / "slack.md").read_text()
    assert {scope for scope in scopes if not re.search(rf"\| .*`{scope}`", page)} == set()
