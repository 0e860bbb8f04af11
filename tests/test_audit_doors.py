"""Who gets into the pages: how often a password may be tried, and by how many at once."""

import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving_support import next_link
from serving_support import serving
from serving_support import with_log

from audit import Log
from audit import Query
from audit import Reader
from audit.serving.doors import Doors
from audit.serving.doors import NotWritten
from audit.serving.doors import Refusals
from audit.serving.doors import password_hash
from commands.door import Door
from ops.layer import Ops
from ops.settings import load_settings

PASSWORD = "four words of a password"
FROM = ("127.0.0.1", 50000)


def nowhere() -> Refusals:
    """What writes refusals nowhere."""
    return Refusals(lambda _: None)


def test_after_five_wrong_passwords_a_minute_has_to_pass() -> None:
    now = [0.0]
    readers = {"lee": password_hash(PASSWORD)}
    doors = Doors(readers, frozenset(), is_secure=True, owner="", told=print, refusals=nowhere(), now=lambda: now[0])

    tries = [doors.login("lee", "wrong", FROM) for _ in range(5)]
    early = doors.login("lee", PASSWORD, FROM)
    now[0] = 61.0
    session = doors.login("lee", PASSWORD, FROM)

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
    doors = Doors({"lee": "x"}, frozenset(), is_secure=True, owner="", told=print, refusals=nowhere())

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: doors.login("lee", "wrong", FROM), range(20)))

    assert (found, len(tried)) == ([None] * 20, 5)


def test_names_that_nobody_has_do_not_end_the_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.serving.doors.is_right", lambda *_: False)
    monkeypatch.setattr("audit.serving.doors.MOST_NAMES", 3)
    now = [0.0]
    doors = Doors(
        {"lee": "x"}, frozenset(), is_secure=True, owner="", told=print, refusals=nowhere(), now=lambda: now[0]
    )
    for name in "abcd":
        doors.login(name, "wrong", FROM)
    monkeypatch.setattr("audit.serving.doors.is_right", lambda *_: True)

    assert doors.login("lee", PASSWORD, FROM) is None
    now[0] = 61.0
    assert doors.login("lee", PASSWORD, FROM) is not None


def test_guessing_is_told_at_once_and_then_only_now_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.serving.doors.REFUSALS_SECONDS", 0.3)
    kept: list[Mapping[str, int]] = []
    refusals = Refusals(kept.append)

    refusals.count(FROM)
    first = list(kept)
    for _ in range(500):
        refusals.count(FROM)
    refusals.count(("fe80::1%=cmd|x", 1))
    deadline = time.monotonic() + 20
    while len(kept) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    refusals.close()

    assert first == [{"127.0.0.1": 1}]
    assert kept[0] == {"127.0.0.1": 1}
    assert sum(sum(one.values()) for one in kept) == 502
    assert {place for one in kept for place in one} == {"127.0.0.1", "fe80::1"}
    assert len(kept) < 100


def test_refusals_that_cannot_be_written_down_now_are_told_later() -> None:
    kept: list[Mapping[str, int]] = []
    is_held = True

    def write_down(places: Mapping[str, int]) -> None:
        if is_held:
            raise NotWritten
        kept.append(places)

    refusals = Refusals(write_down)
    for client in [FROM, None, ("evil.example", 1), *((f"10.0.0.{number}", 1) for number in range(20))]:
        refusals.count(client)
    is_held = False
    refusals.close()
    refusals.close()

    named = {"127.0.0.1": 1, **{f"10.0.0.{number}": 1 for number in range(8)}}
    assert kept == [{**named, "elsewhere": 14}]


# --- what the log says of those who were not let in -------------------------------------------------------------


def tried(browser: httpx.Client, name: str, password: str, **headers: str) -> int:
    """The status of the answer to a name and a password that somebody typed."""
    token = re.search(r'name="csrftoken" value="([^"]+)"', browser.get("/login").text)
    assert token is not None
    said = {"csrftoken": token[1], "name": name, "password": password}
    return browser.post("/login", data=said, headers=headers).status_code


def refusals_in(folder: Path) -> list[dict[str, Any]]:
    found = Reader(folder / "var/audit.db").find(Query(kinds=("refused",)))
    return [one.data or {} for one in found if (one.data or {})["reason"] == "identity_unproven"]


def ended(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)


def test_wrong_passwords_are_in_the_log_and_nothing_that_was_typed(tmp_path: Path) -> None:
    folder = with_log(tmp_path)
    with (
        serving(folder, "--login", AUDIT_LEE=password_hash(PASSWORD), TMPDIR=str(tmp_path)) as (url, process),
        httpx.Client(base_url=url) as browser,
    ):
        statuses = [tried(browser, "lee@auditors.example", "hunter2hunter2")]
        at_once = refusals_in(folder)
        statuses += [tried(browser, PASSWORD, "a guess", **{"X-Forwarded-For": "198.51.100.7"}) for _ in range(7)]
        before_the_end = refusals_in(folder)
        statuses.append(tried(browser, "lee@auditors.example", PASSWORD))
        ended(process)
    found = refusals_in(folder)

    assert statuses == [*[403] * 8, 303]
    assert at_once == [
        {
            "to": None,
            "word": "audit serve",
            "reason": "identity_unproven",
            "message": "1 try to log in to the pages of the log was refused: not with this name and password,"
            " from 127.0.0.1.",
            "facts": {"by": "password", "from": {"127.0.0.1": 1}},
        }
    ]
    assert len(before_the_end) <= 2
    assert sum(one["facts"]["from"]["127.0.0.1"] for one in found) == 8
    assert {place for one in found for place in one["facts"]["from"]} == {"127.0.0.1"}
    whole = b"".join(file.read_bytes() for file in (folder / "var").iterdir() if file.is_file())
    assert [typed in whole for typed in (PASSWORD.encode(), b"hunter2", b"a guess")] == [False] * 3
    assert not list(tmp_path.glob("countersign-serve-*"))  # told to end, it leaves no copy of what the log says


def test_a_link_that_was_used_is_in_the_log_when_somebody_opens_it_again(tmp_path: Path) -> None:
    folder = with_log(tmp_path)
    with serving(folder) as (_, process):
        link = next_link(process)
        opened = [httpx.get(link).headers["location"] for _ in range(2)]
        found = refusals_in(folder)

    assert opened == ["/", "/login"]
    assert [(one["word"], one["facts"]) for one in found] == [("audit serve", {"by": "link", "from": {"127.0.0.1": 1}})]
    assert "not with the link that was printed last" in found[0]["message"]


def test_wrong_password_is_written_down_by_whoever_has_the_log(tmp_path: Path) -> None:
    """Through the door, where there is one; else when the log is free again, and nobody is let in meanwhile."""
    folder = with_log(tmp_path)
    settings = load_settings(folder / "countersign.toml")
    hashed = password_hash(PASSWORD)
    options = ("--login", "--origin", "https://audit.example")
    for has_door, address in ((True, "198.51.100.7"), (False, "198.51.100.8")):
        with serving(folder, *options, AUDIT_LEE=hashed) as (url, process):
            headers = {"Host": "audit.example", "X-Forwarded-For": address}
            with Log.open(folder / "var/audit.db") as log, httpx.Client(base_url=url, headers=headers) as browser:
                door = Door(Ops(settings, log)) if has_door else None
                status = tried(browser, "lee@auditors.example", "wrong")
                meanwhile = len(refusals_in(folder))
                if door is not None:
                    door.close()
            ended(process)

        assert status == 403
        assert meanwhile == 1  # the second is not among them yet
        assert refusals_in(folder)[-1]["facts"] == {"by": "password", "from": {address: 1}}
    assert len(refusals_in(folder)) == 2
