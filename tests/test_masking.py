"""Secrets are covered before anything is stored or shown, and nothing else changes."""

import base64
import json
import time

import pytest

from ops.masking import find_secrets
from ops.masking import mask
from ops.masking import mask_intake
from ops.masking import mask_sql
from ops.masking import printable


def jwt(role: str) -> str:
    """A token as Supabase makes them; nobody signed it."""

    def part(value: dict[str, str]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'iss': 'supabase', 'role': role})}.{'s' * 43}"


PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n"
    + "\n".join(["Ab+/" * 16] * 3)
    + "\nAbcd==\n-----END RSA PRIVATE KEY-----"
)
TOKENS = {
    "Slack token": "xoxb-" + "123456789012-abcdefgh",
    "Slack app token": "xapp-" + "1-A0123-456-abcdef",
    "Supabase token": "sbp_" + "0123456789abcdef" * 2 + "01234567",
    "Supabase secret key": "sb_secret_" + "abcDEF123_456",
    "GitHub token": "ghp_" + "a1B2" * 9,
    "GitHub fine-grained": "github_pat_" + "a1B2" * 9,
    "AWS key": "AKIA" + "ABCDEFGHIJKLMNOP",
    "Stripe key": "sk_live_" + "a1b2c3d4e5",
    "Stripe restricted": "rk_live_" + "a1b2c3d4e5",
    "age key": "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
    "JWT": jwt("service_role"),
    "private key": PEM,
}


@pytest.mark.parametrize("cover", [mask, mask_sql, mask_intake])
@pytest.mark.parametrize("secret", TOKENS.values(), ids=TOKENS)
def test_a_token_is_covered_wherever_it_stands(secret: str, cover: object) -> None:
    assert callable(cover)
    text = f"before '{secret}', after"
    covered = cover(text)
    assert not any(line in covered for line in secret.split("\n") if len(line) > 6)
    assert covered.startswith("before '«masked: ")
    assert covered.endswith("', after")
    assert covered == cover(covered)
    assert text.count("\n") == covered.count("\n")


@pytest.mark.parametrize(
    "text",
    [
        "sb_publishable_abcdefghijklmnop",
        "postgres://postgres@db.example/app",
        "https://host:8080/path@x",
        "postgres://user:[YOUR-PASSWORD]@db.example/app",
        "sbp_ and sk_live_ and eyJ are prefixes",
        "create table sk_live (id int)",
        "comment on column users.password is 'hash';",
        "update users set password = crypt($1, gen_salt('bf')), user_name = 'x';",
        "alter role app password null;",
        "'Bearer ' || current_setting('app.key')",
        "select set_config('search_path', '', false);",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert text == mask_sql(text) == mask(text)


@pytest.mark.parametrize(
    ("text", "covered"),
    [
        ("postgres://ana:p@ss,wrd@db/x", "postgres://ana:«masked: password»@db/x"),
        ("create role a password 'hun''ter2' login;", "create role a password '«masked: password»' login;"),
        ("alter user a with encrypted\n PASSWORD -- x\n E'a\\'b';", None),
        (
            "alter role a password 'x\\'; drop table t; --'",
            "alter role a password '«masked: password»'; drop table t; --'",
        ),
        ("alter role a password $q$hunter2$q$;", "alter role a password «masked: password»;"),
        ("options (user 'bob', password 'hunter2')", "options (user 'bob', password '«masked: password»')"),
        (
            "connection 'host=h password=hunter2 dbname=d'",
            "connection 'host=h password=«masked: password» dbname=d'",
        ),
        ("select vault.create_secret('hunter2', 'n');", "select vault.create_secret('«masked: vault secret»', 'n');"),
        (
            "alter database d set \"app.jwt_secret\" = 'hunter2';",
            "alter database d set \"app.jwt_secret\" = '«masked: setting»';",
        ),
    ],
    ids=["url", "role", "comments", "no escape", "dollar", "mapping", "connection", "vault", "setting"],
)
def test_sql_loses_its_secrets_and_nothing_else(text: str, covered: str | None) -> None:
    expected = covered or "alter user a with encrypted\n PASSWORD -- x\n E'«masked: password»';"
    assert expected == mask_sql(text)
    assert expected == mask_sql(expected)


@pytest.mark.parametrize("role", ["anon", "service_role"])
def test_the_role_of_a_token_is_read(role: str) -> None:
    (secret,) = find_secrets(f"-- {jwt(role)}")
    assert ("JWT", 3, role) == (secret.kind, secret.start, secret.role)


def test_a_token_that_cannot_be_read_is_a_secret_all_the_same() -> None:
    (secret,) = find_secrets("eyJhbGciOiJIUzI1NiJ9.eyAAAAAAAAAAAAAA.AAAAAAAAAAAA")
    assert secret.role == ""


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("secrets set API_KEY=abc def", "secrets set API_KEY=«masked: value»"),
        ("secrets set A=one two B='three four'", "secrets set A=«masked: value» B=«masked: value»"),
        ("set API_KEY=abc prod", "set API_KEY=«masked: value» prod"),
        ('set API_KEY="two words" prod', "set API_KEY=«masked: value» prod"),
        ("set API_KEY=“two words” prod", "set API_KEY=«masked: value» prod"),
        ("API_KEY=two words", "API_KEY=«masked: value»"),
        ("set API_KEY = abc", "set API_KEY = «masked: value»"),
        ("approve R-7 code 123456", "approve R-7 code «masked: code»"),
        ("it is 123 456.", "it is «masked: code»."),
        ("code:12345678", "code:«masked: code»"),
        ("push prod", "push prod"),
        ("approve R-123456 0123456789abcdef", "approve R-123456 0123456789abcdef"),
        ("repair prod 20260101000000 at 2026-11-22", "repair prod 20260101000000 at 2026-11-22"),
        ("plan prod 1a2b3c4d, 20261122", "plan prod 1a2b3c4d, 20261122"),
    ],
)
def test_what_people_type_is_kept_without_values_and_codes(typed: str, kept: str) -> None:
    assert kept == mask_intake(typed)
    assert kept == mask_intake(kept)


def test_a_foreign_name_is_shown_on_one_line_without_tricks() -> None:
    assert printable("a\u202eb\n c\x00d".replace("\n", " ")) == "a�b c�d"
    assert printable("x" * 50, 10) == "x" * 9 + "…"
    assert printable(TOKENS["Supabase token"]) == "«masked: Supabase token»"


@pytest.mark.parametrize(
    "text",
    [
        "eyJ" * 300_000,
        ("eyJ" * 100 + ".") * 3_000,
        "-----BEGIN PRIVATE KEY-----\n" * 30_000,
        "password '" * 90_000,
        "://a:" + "b@" * 400_000,
        "host=a " * 130_000,
        "secrets " + "a=b " * 200_000,
        "update_secret(" * 60_000,
        "123456 " * 130_000,
    ],
    ids=["jwt", "dotted", "pem", "password", "url", "host", "values", "calls", "codes"],
)
def test_hostile_text_costs_linear_time(text: str) -> None:
    """Generous for slow machines: a quadratic pattern takes minutes on these."""
    started = time.perf_counter()
    mask_intake(text)
    mask_sql(text)
    assert time.perf_counter() - started < 10
