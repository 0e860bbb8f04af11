"""Who gets into the pages: how often a password may be tried, and by how many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from audit.serving.doors import Doors
from audit.serving.doors import password_hash

PASSWORD = "four words of a password"


def test_after_five_wrong_passwords_a_minute_has_to_pass() -> None:
    now = [0.0]
    readers = {"lee": password_hash(PASSWORD)}
    doors = Doors(readers, frozenset(), is_secure=True, owner="", told=print, now=lambda: now[0])

    tries = [doors.login("lee", "wrong") for _ in range(5)]
    early = doors.login("lee", PASSWORD)
    now[0] = 61.0
    session = doors.login("lee", PASSWORD)

    assert [*tries, early] == [None] * 6
    assert session is not None
    assert doors.reader(session) == "lee"
    now[0] += 9 * 3600
    assert doors.reader(session) is None


def test_many_wrong_passwords_at_once_are_as_many_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    together = threading.Barrier(5, timeout=10)

    def slow(password: str, _: str | None) -> bool:
        tried.append(password)
        together.wait()
        return False

    monkeypatch.setattr("audit.serving.doors.is_right", slow)
    doors = Doors({"lee": "x"}, frozenset(), is_secure=True, owner="", told=print)

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: doors.login("lee", "wrong"), range(20)))

    assert (found, len(tried)) == ([None] * 20, 5)


def test_names_that_nobody_has_do_not_end_the_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.serving.doors.is_right", lambda *_: False)
    monkeypatch.setattr("audit.serving.doors.MOST_NAMES", 3)
    now = [0.0]
    doors = Doors({"lee": "x"}, frozenset(), is_secure=True, owner="", told=print, now=lambda: now[0])
    for name in "abcd":
        doors.login(name, "wrong")
    monkeypatch.setattr("audit.serving.doors.is_right", lambda *_: True)

    assert doors.login("lee", PASSWORD) is None
    now[0] = 61.0
    assert doors.login("lee", PASSWORD) is not None
