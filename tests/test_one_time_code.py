"""One-time codes and their counting as RFC 6238 and our own rules have them: values in, values out."""

from datetime import UTC
from datetime import datetime
from datetime import timedelta
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest

from ops.one_time_code import FIRST_LOCK
from ops.one_time_code import LONGEST_LOCK
from ops.one_time_code import STEP_SECONDS
from ops.one_time_code import Tries
from ops.one_time_code import code_at
from ops.one_time_code import enrolment_url
from ops.one_time_code import is_before_the_log
from ops.one_time_code import is_used
from ops.one_time_code import locked_until
from ops.one_time_code import step_at
from ops.one_time_code import step_of

SHA1 = b"12345678901234567890"
SHA256 = b"12345678901234567890123456789012"
SHA512 = b"1234567890123456789012345678901234567890123456789012345678901234"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = step_at(NOON)

# https://www.rfc-editor.org/rfc/rfc6238, appendix B (the tables as the erratum on keys of 32 and 64 bytes has them)
RFC_6238 = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize(("seconds", "sha1", "sha256", "sha512"), RFC_6238)
def test_the_codes_of_rfc_6238(seconds: int, sha1: str, sha256: str, sha512: str) -> None:
    step = seconds // STEP_SECONDS
    given = zip((SHA1, SHA256, SHA512), ("sha1", "sha256", "sha512"), (sha1, sha256, sha512), strict=True)
    for secret, algorithm, expected in given:
        assert code_at(secret, step, digits=8, algorithm=algorithm) == expected
    at = datetime.fromtimestamp(seconds, UTC)
    assert step_of(SHA1, sha1[-6:], at) == step  # six digits are the last six of eight


@pytest.mark.parametrize(("away", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_counts_one_step_around_now(away: int, counts: bool) -> None:
    assert step_of(SHA1, code_at(SHA1, NOW + away), NOON) == (NOW + away if counts else None)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "٠١٢٣٤٥", "000000 000000", "-00001", "\ud800"])
def test_what_is_no_code_is_no_code(code: str) -> None:
    assert step_of(SHA1, code, NOON) is None


def test_blanks_in_a_code_do_not_matter() -> None:
    code = code_at(SHA1, NOW)
    assert step_of(SHA1, f" {code[:3]} {code[3:]}\n", NOON) == NOW


@pytest.mark.parametrize(
    ("last", "step", "used"),
    [(None, NOW, False), (NOW - 1, NOW, False), (NOW, NOW, True), (NOW + 1, NOW, True)],
    ids=["never one", "an older one", "this one", "a newer one"],
)
def test_each_code_works_once_and_none_after_a_newer(last: int | None, step: int, used: bool) -> None:
    assert is_used(Tries(last, (), NOON), step) is used


def wrong(count: int) -> Tries:
    return Tries(None, [NOON + timedelta(minutes=one) for one in range(count)], NOON)


@pytest.mark.parametrize(
    ("count", "after", "lasts"),
    [
        (5, 5, FIRST_LOCK),
        (9, 5, FIRST_LOCK),
        (10, 10, 2 * FIRST_LOCK),
        (15, 15, 4 * FIRST_LOCK),
        (500, 500, LONGEST_LOCK),
    ],
)
def test_every_fifth_wrong_code_locks_for_twice_as_long(count: int, after: int, lasts: timedelta) -> None:
    assert locked_until(wrong(count)) == NOON + timedelta(minutes=after - 1) + lasts


@pytest.mark.parametrize("count", range(5))
def test_fewer_wrong_codes_lock_nothing(count: int) -> None:
    assert locked_until(wrong(count)) is None


def test_a_year_of_guessing_finds_next_to_nothing() -> None:
    """Somebody who tries whenever they may makes so few tries that one in a hundred of them at most would succeed."""
    at, tries = NOON, 0
    made: list[datetime] = []
    while at < NOON + timedelta(days=365):
        until = locked_until(Tries(None, made, NOON))
        at = max(at, until) if until else at
        made.append(at)
        tries += 1
    assert tries * 3 / 10**6 < 0.01


def test_a_clock_before_the_log_judges_no_code() -> None:
    assert is_before_the_log(Tries(None, (), NOON), NOON - timedelta(microseconds=1))
    assert not is_before_the_log(Tries(None, (), NOON), NOON)


def test_the_address_that_apps_scan() -> None:
    parts = urlsplit(enrolment_url(SHA1, "U0BEN"))
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/Countersign:U0BEN")
    assert {name: found for name, [found] in parse_qs(parts.query).items()} == {
        "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
        "issuer": "Countersign",
        "algorithm": "SHA1",
        "digits": "6",
        "period": "30",
    }
