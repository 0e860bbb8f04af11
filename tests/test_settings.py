"""The configuration: every mistake is named with its place and its cure, and no secret is ever shown."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from ops.errors import OpsError
from ops.errors import Reason
from ops.settings import Settings
from ops.settings import Table
from ops.settings import Tables
from ops.settings import load_settings
from ops.settings import resolve_secret
from ops.targets import find_target

EXAMPLE = Path(__file__).parent.parent / "countersign.example.toml"
PASSWORD = "hunter2"

GOOD = """\
[slack]
channel = "C0DEPLOYS"

[projects.shop]
repository = "repository"

[projects.shop.environments.dev]
database_url = "$SHOP_DEV_DATABASE_URL"
branch = "develop"
approvals = 0

[projects.shop.environments.prod]
database_url = "$SHOP_PROD_DATABASE_URL"
branch = "main"
approvals = 1
approvers = ["@database-owners"]
"""
PROD = "projects.shop.environments.prod"


def load(folder: Path, text: str | bytes) -> Settings:
    path = folder / "countersign.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_settings(path)


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(OpsError) as caught:
        load(folder, text)
    assert (caught.value.reason, caught.value.exit_code) == (Reason.BAD_CONFIG, 2)
    assert caught.value.hint
    assert caught.value.__cause__ is None, "a cause may hold the values"
    return caught.value.message


def test_contracts_configuration_loads_with_its_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)

    prod = find_target(settings, "prod").settings
    assert (prod.unknown_authors, prod.confirm, prod.expires) == ("show", "click", timedelta(hours=24))
    assert (prod.backup_level, find_target(settings, "dev").settings.backup_level) == ("restored", "none")
    assert settings.log_path == tmp_path / "var/audit.db"
    assert len(settings.sha256) == 64


def test_relative_paths_count_from_the_files_folder(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD + '[audit]\npath = "a.db"\n[postgres]\nbin = "tools"\n')

    assert settings.log_path == tmp_path / "a.db"
    assert settings.postgres.bin == str(tmp_path / "tools")
    assert load(tmp_path, GOOD).postgres.bin == ""


ADDED_TO_PROD = [
    ('approvers = ["@a"]', f"{PROD}.approvals is missing: say how many people must agree (0 for nobody)"),
    ("approvals = 1", f"{PROD}: approvals = 1 but nobody may give them: add approvers ="),
    ('approvals = 2\napprovers = ["U0BEN", "U0BEN"]', f"{PROD}: approvals = 2 but only 1 may give them"),
    ("approvals = true", f"{PROD}.approvals must be a whole number"),
    ('approvals = "1"', f"{PROD}.approvals must be a whole number"),
    ("approvals = 1.5", f"{PROD}.approvals must be a whole number"),
    ("approvals = -1", f"{PROD}.approvals: Input should be greater than or equal to 0"),
    ("approvals = 0\naprovers = []", f"{PROD}.aprovers is not a setting that exists: did you mean approvers?"),
    ("approvals = 0\nzzz = 1", f"{PROD}.zzz is not a setting that exists."),
    ('approvals = 0\napprovers = "@dba"', f"{PROD}.approvers must be a list"),
    ('approvals = 1\napprovers = ["ben"]', f"{PROD}.approvers.0: 'ben' is neither a group (@database-owners)"),
    ('approvals = 1\napprovers = ["os:host"]', f"{PROD}.approvers.0: 'os:host' is neither a group"),
    ("approvals = 0\nrequesters = [1]", f"{PROD}.requesters.0 must be text in quotes"),
    ('approvals = 0\nafter = ["stagin"]', "environments.prod.after names 'stagin', which is no other environment"),
    ('approvals = 0\nafter = ["prod"]', "environments.prod.after names 'prod', which is no other environment"),
    ('approvals = 0\nexpires = "soon"', f'{PROD}.expires: a duration is a number and a unit, such as "30m"'),
    ("approvals = 0\nexpires = 24", f"{PROD}.expires: a duration is a number and a unit"),
    ('approvals = 0\nexpires = "0h"', f"{PROD}.expires: a duration is a number and a unit"),
    ('approvals = 0\nbackup = "all"', f"{PROD}.backup: Input should be 'none', 'intact', 'restored' or 'identical'"),
    ('approvals = 0\nproject_ref = "ABC"', f"{PROD}.project_ref: a project reference is 20 lower-case letters"),
    ('approvals = 0\nlock_timeout = "50ms"', f'{PROD}.lock_timeout: a wait for a lock is at least "100ms" and at most'),
    ('approvals = 0\nlock_timeout = "0s"', f"{PROD}.lock_timeout: a wait for a lock is at least"),
    ('approvals = 0\nlock_timeout = "2m"', f"{PROD}.lock_timeout: a wait for a lock is at least"),
    (
        'approvals = 0\nwindows = ["Mon 09:00-16:00"]',
        f"{PROD}.windows.0: 'Mon 09:00-16:00' is no window: say days, times",
    ),
    ('approvals = 0\nhotfix = ["U0ANA"]', f"{PROD}: hotfix names who may pass windows and freezes, but there are none"),
    (
        'approvals = 0\nfreezes = [{ from = "2026-12-20 UTC", to = "2026-12-20 UTC", because = "x" }]',
        f"{PROD}.freezes.0: the freeze ends (2026-12-20 UTC) before it begins",
    ),
    ('approvals = 0\nrehearsal = "on"', f"{PROD}.rehearsal: Input should be 'off', 'shown' or 'required'"),
    ('approvals = 0\nconfirm = "typed"', f"{PROD}.confirm: Input should be 'click' or 'type'"),
    ('approvals = 0\nhealth = [{ name = "x" }]', f"{PROD}.health.0: a health check has either sql or url"),
    (
        'approvals = 0\nhealth = [{ name = "x", sql = "select true", url = "https://a.example" }]',
        f"{PROD}.health.0: a health check has either sql or url or insert, and no two of them",
    ),
    (
        'approvals = 0\nhealth = [{ name = "x", url = "https://a.example", status = true }]',
        f"{PROD}.health.0.status must be a whole number",
    ),
    (
        'approvals = 0\nhealth = [{ name = "x", sql = "select true", timeout_seconds = true }]',
        f"{PROD}.health.0.timeout_seconds must be a number",
    ),
    (
        'approvals = 0\nhealth = [{ name = "x", sql = "select true", timout_seconds = 1 }]',
        f"{PROD}.health.0.timout_seconds is not a setting that exists: did you mean timeout_seconds?",
    ),
    (
        f'approvals = 0\nhealth = [{{ name = "x", url = "https://a.example", headers = {{ apikey = "{PASSWORD}" }} }}]',
        f"{PROD}.health.0.headers.apikey: a secret is given by name only: $NAME",
    ),
    (
        f'approvals = 0\nhealth = [{{ name = "x", url = "https://a:{PASSWORD}@a.example" }}]',
        f"{PROD}.health.0.url: a secret stands in the URL",
    ),
    (
        f'approvals = 0\nhealth = [{{ name = "x", url = "https://a.example/?apikey={PASSWORD}" }}]',
        f"{PROD}.health.0.url: a secret stands in the URL",
    ),
    (
        'approvals = 0\nhealth = [{ name = "x", url = "file:///etc/passwd" }]',
        f"{PROD}.health.0.url: a health check asks https://",
    ),
]


@pytest.mark.parametrize(("lines", "told"), ADDED_TO_PROD, ids=[told[:70] for _, told in ADDED_TO_PROD])
def test_mistake_in_an_environment_is_named_with_its_place_and_cure(tmp_path: Path, lines: str, told: str) -> None:
    before = GOOD[: GOOD.index("approvals = 1")]

    message = refused(tmp_path, before + lines + "\n")

    assert told in message
    assert PASSWORD not in message
    assert "1 mistake:" in message


REPLACED = [
    ('database_url = "$SHOP_PROD_DATABASE_URL"', "", f"{PROD}.database_url is missing"),
    ('database_url = "$SHOP_PROD_DATABASE_URL"', "database_url = 5432", f"{PROD}.database_url must be text in quotes"),
    ('"$SHOP_PROD_DATABASE_URL"', '"$1SHOP"', f"{PROD}.database_url: the name of an environment variable has"),
    ('"$SHOP_PROD_DATABASE_URL"', '"file:"', f"{PROD}.database_url: a secret is given by name only"),
    ('"$SHOP_PROD_DATABASE_URL"', '"mysql://a/b"', f"{PROD}.database_url: a database URL is $NAME"),
    ('branch = "main"', 'branch = ""', f"{PROD}.branch must not be empty"),
    ('channel = "C0DEPLOYS"', 'channel = "#deploys"', "slack.channel: a channel is given by its id"),
    ('channel = "C0DEPLOYS"', 'channel = "xC0DEPLOYS"', "slack.channel: a channel is given by its id"),
    (
        'channel = "C0DEPLOYS"',
        'chanel = "C0DEPLOYS"',
        "slack.chanel is not a setting that exists: did you mean channel?",
    ),
    ("[slack]", "[slak]", "slak is not a setting that exists: did you mean slack?"),
    ("[slack]", "folder = '/tmp'\n[slack]", "folder is not a setting that exists"),
    ("[slack]", "sha256 = ''\n[slack]", "sha256 is not a setting that exists"),
    ("[slack]", "slack = 3\n[x]", "slack must be a table of its own"),
    ("[slack]", "[audit]\npath = 3\n[slack]", "audit.path"),
    ("[slack]", "[backup]\nkeep = 30\n[slack]", "backup.keep: a duration is a number and a unit"),
    ("[slack]", "[backup]\nencrypt = 'age1x'\n[slack]", "backup.encrypt: a public key of age begins with age1"),
    ("[slack]", "[backup]\nencrypt = 3\n[slack]", "backup.encrypt: backups are sealed for a public key of age"),
    (
        "[slack]",
        "[backup]\nencrypt = 'AGE-SECRET-KEY-1XY'\n[slack]",
        "backup.encrypt: a secret key stands where the public one belongs",
    ),
    (
        "[slack]",
        "[backup]\nidentity = 'AGE-SECRET-KEY-1XY'\n[slack]",
        "backup.identity: a secret is given by name only",
    ),
    ("[slack]", "[people]\nana = 'ana'\n[slack]", "people.ana: a person is given by their Slack id"),
    ("[slack]", "[people]\nana = 'xxU0ANAx'\n[slack]", "people.ana: a person is given by their Slack id"),
    ("[slack]", "[people]\na = 'U0ANA'\nA = 'U0BEN'\n[slack]", "people: A is two people"),
    ('repository = "repository"', "", "projects.shop.repository is missing"),
    (
        'repository = "repository"',
        f'repository = "https://x:{PASSWORD}@git.example/a.git"',
        "projects.shop.repository: no user name, password or token in the URL",
    ),
    (
        'repository = "repository"',
        f'repository = "ssh://git:{PASSWORD}@git.example/a.git"',
        "projects.shop.repository: no user name, password or token in the URL",
    ),
    (
        'repository = "repository"',
        'repository = "r"\nsupabase = "../x"',
        "projects.shop.supabase: the supabase folder is",
    ),
    ("environments.prod]", "environments.Prod]", "projects.shop.environments.Prod: the name 'Prod' must be lower-case"),
    ("environments.prod]", 'environments."--wait"]', "the name '--wait' must be lower-case"),
]


@pytest.mark.parametrize(("old", "new", "told"), REPLACED, ids=[f"{new[:30]} {told[:50]}" for _, new, told in REPLACED])
def test_mistake_elsewhere_is_named_with_its_place_and_cure(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD

    message = refused(tmp_path, GOOD.replace(old, new))

    assert told in message
    assert PASSWORD not in message


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{PASSWORD}@127.0.0.1/x",
        f"postgresql://u@127.0.0.1/x?password={PASSWORD}",
        f"postgresql://u@127.0.0.1/x?PASSWORD={PASSWORD}",
        f"postgresql://u@127.0.0.1/x?pass%77ord={PASSWORD}",
        f"postgresql://u@127.0.0.1/x?sslpassword={PASSWORD}",
        f"postgresql://u:1/{PASSWORD}@127.0.0.1/x",
        f"postgresql://u:{PASSWORD}#@127.0.0.1/x",
        f"postgresql://u:{PASSWORD}?@127.0.0.1/x",
        f"postgresql://u:{PASSWORD}℀@127.0.0.1/x",
        f"postgresql://u:{PASSWORD}@[::1/x",
        f"host=127.0.0.1 password={PASSWORD}",
        PASSWORD,
    ],
)
def test_password_in_the_file_is_refused_and_not_shown(tmp_path: Path, url: str) -> None:
    assert PASSWORD not in refused(tmp_path, GOOD.replace("$SHOP_PROD_DATABASE_URL", url))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("approvals = 0", 'expires = "x"').replace("C0DEPLOYS", "#deploys")

    message = refused(tmp_path, text)

    assert "3 mistakes: " in message
    assert "slack.channel" in message
    assert "dev.approvals" in message
    assert "dev.expires" in message


def test_environments_that_come_after_each_other_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace("approvals = 0", 'approvals = 0\nafter = ["prod"]').replace(
        "approvals = 1", 'approvals = 1\nafter = ["dev"]'
    )

    assert "comes round to" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "projects is missing"),
        (b"[slack\n", "is not TOML: Expected ']' at the end of a table declaration (at line 1"),
        (b"a = 1\n\nb = \n", "(at line 3"),
        (b"a = 1\na = 2\n", "is not TOML"),
        (b"# fine\nname = '\xff'\n", "is not UTF-8 text (at line 2)"),
        (b"a = " + b"[" * 3000, "is nested too deeply"),
    ],
    ids=["empty", "no toml", "line 3", "twice", "not utf-8", "deep"],
)
def test_file_that_is_no_configuration_is_refused_with_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in refused(tmp_path, content)


def test_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).slack


@pytest.mark.parametrize("make", ["missing", "folder", "unreadable"])
def test_file_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path, make: str) -> None:
    path = tmp_path / "countersign.toml"
    if make == "folder":
        path.mkdir()
    if make == "unreadable":
        if os.getuid() == 0:
            pytest.skip("root may read every file")
        path.write_text(GOOD)
        path.chmod(0)

    with pytest.raises(OpsError, match=r"cannot be read: (No such file|Is a directory|Permission denied)") as caught:
        load_settings(path)

    assert "countersign init" in caught.value.hint


def test_secret_is_read_when_it_is_used_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    (tmp_path / "empty").write_text("\n")

    assert resolve_secret("$A", folder=tmp_path, environment={"A": f" {PASSWORD} "}) == PASSWORD
    assert resolve_secret("file:secret", folder=tmp_path) == PASSWORD
    for reference in ("$A", "file:empty", "file:missing", "file:."):
        with pytest.raises(OpsError, match=r"A is not set|cannot be read, or is empty") as caught:
            resolve_secret(reference, folder=tmp_path, environment={"A": " ", "B": PASSWORD})
        assert caught.value.reason is Reason.BAD_CONFIG


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("prdo", "Did you mean prod?"),
        ("shop/prdo", "Did you mean shop/prod?"),
        ("zzzzzz", "There is no environment 'zzzzzz'."),
    ],
)
def test_unknown_environment_is_told_with_the_nearest(tmp_path: Path, said: str, told: str) -> None:
    with pytest.raises(OpsError, match="There is no environment") as caught:
        find_target(load(tmp_path, GOOD), said)
    assert told in caught.value.message
    assert "dev, prod" in caught.value.hint


def test_environment_of_several_projects_is_never_guessed(tmp_path: Path) -> None:
    second = GOOD[GOOD.index("[projects.shop]") :].replace("shop", "till")
    settings = load(tmp_path, GOOD + second)

    assert find_target(settings, "Till/PROD").name == "till/prod"
    with pytest.raises(OpsError) as caught:
        find_target(settings, "prod")
    assert caught.value.reason is Reason.ENVIRONMENT_NEEDED


def test_author_is_known_by_mail_or_login_whatever_the_capitals(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD + '[people]\n"Ana@Acme.example" = "U0ANA"\n')

    assert settings.known_author("ana@acme.EXAMPLE ") == "U0ANA"
    assert settings.known_author("anna@acme.example") is None


def settings_of(table: type[Table]) -> Iterator[str]:
    """The name of every setting, of this table and of those inside it."""
    for name, setting in table.model_fields.items():
        yield setting.alias or name
        waiting = [setting.annotation]
        while waiting:
            part = waiting.pop()
            waiting += get_args(part)
            if isinstance(part, type) and issubclass(part, Table):
                yield from settings_of(part)


def test_example_loads() -> None:
    settings = load_settings(EXAMPLE)

    assert find_target(settings, "prod").settings.approvals == 2
    assert len(find_target(settings, "prod").settings.health) == 3


@pytest.mark.parametrize("name", sorted(set(settings_of(Tables))))
def test_example_explains_every_setting(name: str) -> None:
    """On its own line or that of its table, or in the comment above."""
    lines = EXAMPLE.read_text().splitlines()
    says = [
        number
        for number, line in enumerate(lines)
        if line.startswith((f"{name} =", f"[{name}]", f"[{name}.")) or f".{name}." in line or f".{name}]" in line
    ]

    assert says, f"{name} is not in the example"
    assert any(
        "#" in lines[number] or lines[number - 1].startswith("#") or lines[number].startswith("[") for number in says
    )
