"""`audit serve`: the real command over a real log, asked over HTTP; test_audit_serve_browser.py does so in a browser."""

import csv
import io
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from audit_support import ANA
from audit_support import raw
from serving_support import HOSTILE
from serving_support import PAGES
from serving_support import ROOT
from serving_support import looks
from serving_support import next_link
from serving_support import serving
from serving_support import with_log
from serving_support import write_story

import countersign
from audit import Draft
from audit import Log
from audit import Query
from audit import Reader
from audit.schema import connect_reader
from audit.serving.answers import Answers
from audit.serving.answers import read_rows
from audit.serving.answers_sql import SCHEMA
from audit.serving.answers_sql import TABLES
from audit.serving.dictionary import LOG_TABLES
from audit.serving.doors import password_hash
from audit.serving.figures import figures
from audit.serving.figures import months
from audit.serving.questions import QUESTIONS
from audit.serving.site import seen
from commands.door import Door
from ops.layer import Ops
from ops.settings import load_settings

PASSWORD = "four words of a password"

Get = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_log(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with serving(folder) as found:
        yield found


@pytest.fixture(scope="module")
def client(served: tuple[str, "subprocess.Popen[str]"]) -> Iterator[httpx.Client]:
    """Somebody who opened the link."""
    with httpx.Client(base_url=served[0], follow_redirects=True) as found:
        assert found.get(next_link(served[1])).status_code == 200
        yield found


# --- who gets in ----------------------------------------------------------------------------------------------


def test_link_lets_one_browser_in_once(tmp_path: Path) -> None:
    with serving(with_log(tmp_path)) as (_, process):
        link = next_link(process)
        first, second = (httpx.get(link) for _ in range(2))
        following = next_link(process)

    assert (first.headers["location"], second.headers["location"]) == ("/", "/login")
    assert "HttpOnly; SameSite=Lax" in first.headers["set-cookie"]
    assert "set-cookie" not in second.headers
    assert following != link


@pytest.mark.parametrize("page", [*PAGES, "/questions/refused.csv", "/answers.json", "/log/event/1"])
def test_nobody_sees_anything_without_the_link(served: tuple[str, "subprocess.Popen[str]"], page: str) -> None:
    answer = httpx.get(served[0] + page)

    assert (answer.status_code, answer.headers.get("location")) == (303, "/login")
    assert "approved" not in answer.text


def test_page_of_another_name_gets_nothing(client: httpx.Client) -> None:
    """A page of elsewhere whose name was made to mean this host sends that name."""
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/answers", 405),
        ("DELETE", "/log/event/1", 405),
        ("GET", "/-/config", 404),
        ("GET", "/-/databases.json", 404),
        ("GET", "/_internal", 403),
        ("GET", "/log/event.csv", 404),
        ("GET", "/answers?sql=delete+from+request", 400),
        ("GET", "/answers?sql=attach+'/etc/passwd'+as+x", 400),
        ("GET", "/answers.csv?sql=select+1;select+2", 400),
        ("GET", "/questions/nothing", 404),
    ],
)
def test_it_can_only_be_read(client: httpx.Client, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


def test_every_answer_forbids_scripts_and_keeping(client: httpx.Client) -> None:
    headers = client.get("/").headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "private, no-store"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--host", "0.0.0.0"], "only with a login and TLS"),  # noqa: S104
        (["--host", "0.0.0.0", "--login"], "only with a login and TLS"),  # noqa: S104
        (["--origin", "https://audit.example"], "others can reach the log"),
        (["--tls-cert", "x.pem"], "go together"),
    ],
)
def test_beyond_loopback_it_takes_login_and_tls(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    monkeypatch.setenv("AUDIT_LEE", password_hash(PASSWORD))

    code = countersign.main(["--config", str(folder / "countersign.toml"), "audit", "serve", *options])

    assert code == 2
    assert why in " ".join(capsys.readouterr().err.split())


def test_reader_logs_in_with_a_password_and_is_named_in_the_log(tmp_path: Path) -> None:
    folder = with_log(tmp_path)
    command = [sys.executable, str(ROOT / "countersign.py"), "--config", str(folder / "countersign.toml")]
    ran = subprocess.run(
        [*command, "audit", "password"],
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    hashed = re.search(r"scrypt\$[^\"]+", ran.stdout)
    assert hashed is not None
    options = ("--login", "--origin", "https://audit.example")
    host = {"Host": "audit.example"}
    with serving(folder, *options, AUDIT_LEE=hashed[0]) as (port, _), httpx.Client(headers=host) as browser:
        form = browser.get(f"{port}/login")
        token = re.search(r'name="csrftoken" value="([^"]+)"', form.text)
        assert token is not None
        said = {"csrftoken": token[1], "name": "lee@auditors.example"}
        wrong = browser.post(f"{port}/login", data={**said, "password": "wrong"})
        unsigned = browser.post(f"{port}/login", data={"name": said["name"], "password": PASSWORD})
        right = browser.post(f"{port}/login", data={**said, "password": PASSWORD})
        cookie = right.headers["set-cookie"]
        page = browser.get(f"{port}/questions/refused", headers={"Cookie": cookie})

    assert (form.status_code, wrong.status_code, unsigned.status_code, right.status_code) == (200, 403, 403, 303)
    assert cookie.endswith("; Secure")
    assert page.status_code == 200
    found = [one for one in looks(folder / "var/audit.db") if one["reader"] == "lee@auditors.example"]
    assert [one["query"] for one in found] == ["/questions/refused"]


def test_letters_that_show_nothing_or_turn_others_round_stand_as_numbers(client: httpx.Client) -> None:
    sql = "select char(8238) || 'gnp.exe' as name"

    assert seen("\u202egnp\u2066 é\n漢") == "\\u202egnp\\u2066 é\n漢"
    assert "\\u202egnp.exe" in client.get("/answers", params={"sql": sql}).text
    assert client.get("/events", params={"q": "a\0b"}).status_code == 200


def test_name_of_a_column_is_no_formula_either(client: httpx.Client) -> None:
    assert client.get("/answers.csv", params={"sql": "select 1 as '=1+1'"}).text.startswith("'=1+1")


# --- what the pages say ---------------------------------------------------------------------------------------


def rows_of(client: httpx.Client, question: str, **asked: str) -> list[dict[str, str]]:
    answer = client.get(f"/questions/{question}.csv", params=asked)
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    page = client.get(f"/questions/{question}", params=asked).text
    assert f"<strong>{len(rows):,}</strong> row" in page
    assert answer.headers["x-rows"] == str(len(rows))
    return rows


@pytest.mark.parametrize(
    ("question", "column", "expected"),
    [
        ("who-approved-whom", "times", ["22"]),
        ("emergencies", "review", ["open"]),
        ("refused", "reason", ["self_approval"]),
        ("own-approvals-tried", "request", ["R-23"]),
        ("failed-runs", "request", ["R-20"]),
        ("outside-windows", "let_by", ["hotfix"]),
        ("approved-afterwards", "seq", []),
        ("own-approvals", "seq", []),
        ("unapproved-runs", "request", []),
        ("no-result", "what", []),
        ("policy-changes", "rule", []),
    ],
)
def test_question_finds_what_happened(client: httpx.Client, question: str, column: str, expected: list[str]) -> None:
    assert [row[column] for row in rows_of(client, question)] == expected


def test_time_to_approve_is_of_the_month_that_is_asked_for(client: httpx.Client) -> None:
    rows = rows_of(client, "time-to-approve", since="2026-05-01", until="2026-06-01")

    assert [(row["month"], row["requests"], row["median_hours"]) for row in rows] == [("2026-05", "2", "3.0")]


def test_changes_are_all_that_ran(client: httpx.Client) -> None:
    assert len(rows_of(client, "changes")) == 22
    assert rows_of(client, "changes", target="shop/dev") == []


def test_every_question_can_be_asked_in_sql_too(client: httpx.Client) -> None:
    for name, one in QUESTIONS.items():
        params = {"sql": one.sql, "target": "", "since": "", "until": ""}
        assert client.get("/answers", params=params).status_code == 200, name


def test_csv_is_whole_and_nothing_in_it_runs(client: httpx.Client) -> None:
    """Datasette would end it after some rows without a word."""
    sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 12000) select i, '=1+1' as cell from n"

    answer = client.get("/answers.csv", params={"sql": sql})

    lines = answer.text.splitlines()
    assert len(lines) == 12001
    assert lines[-1] == "12000,'=1+1"
    page = client.get("/answers", params={"sql": sql}).text
    assert "The first <strong>2,000</strong> rows; there are more." in page


def test_table_counts_values_and_links_all_of_its_rows(client: httpx.Client) -> None:
    page = client.get("/log/event", params={"kind": "approved", "_size": 5}).text
    link = re.search(r'href="(/log\.csv[^"]+)"', page)

    assert link is not None
    assert len(client.get(link[1].replace("&amp;", "&")).text.splitlines()) == 23
    assert re.search(r"approved</strong> 22", page)


def test_endless_question_is_ended(client: httpx.Client) -> None:
    sql = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"

    answer = client.get("/log", params={"sql": sql})

    assert answer.status_code == 400
    assert "Traceback" not in answer.text


def test_every_look_and_copy_is_in_the_log(client: httpx.Client, folder: Path) -> None:
    client.get("/events?q=kind:rejected")
    client.get("/questions/refused.csv?target=shop/prod")
    client.get("/dictionary")

    found = looks(folder / "var/audit.db")

    assert [(one["kind"], one["query"], one["rows"]) for one in found[-3:]] == [
        ("queried", "/events kind:rejected", None),
        ("queried", "/questions/refused.csv target: shop/prod", None),
        ("exported", "refused target: shop/prod", 1),
    ]
    assert found[-1]["reader"].startswith("os:")


def test_look_that_cannot_be_written_down_shows_nothing(client: httpx.Client, folder: Path) -> None:
    """While another process has the log, its door takes the note; without one nobody looks."""
    settings = load_settings(folder / "countersign.toml")
    with Log.open(folder / "var/audit.db") as log:
        alone = client.get("/questions/refused")
        door = Door(Ops(settings, log))
        try:
            beside = client.get("/questions/failed-runs")
        finally:
            door.close()

    assert (alone.status_code, beside.status_code) == (503, 200)
    assert "could not be written down" in alone.text
    assert "self_approval" not in alone.text
    assert looks(folder / "var/audit.db")[-1]["query"] == "/questions/failed-runs"


def test_erased_text_is_gone_from_the_tables_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.db"
    write_story(path)
    answers = Answers(tmp_path / "answers.db", path, lambda _windows, _at: True)
    answers.catch_up()
    refused = "SELECT message FROM refusal"
    before = read_rows(answers.path, refused, {}, most=9, seconds=5)[1]

    with Log.open(path) as log:
        seq = Reader(path).find(Query(kinds=("refused",)))[0].seq
        log.append([Draft(kind="erased", actor=ANA, stream="all", data={"seqs": [seq], "because": "asked to"})])
    raw(path, f"DELETE FROM payload WHERE seq = {seq}")
    answers.catch_up()

    assert len(before) == 1
    assert HOSTILE in before[0][0]
    assert read_rows(answers.path, refused, {}, most=9, seconds=5)[1] == [(None,)]


def test_reading_holds_nothing_of_the_log(client: httpx.Client, folder: Path) -> None:
    """The writer can take its WAL back at once: no page leaves a read of the log open."""
    for page in PAGES:
        client.get(page)

    connection = sqlite3.connect(folder / "var/audit.db")
    try:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    finally:
        connection.close()


def test_columns_are_explained_as_they_are(folder: Path) -> None:
    """Every column of the log's tables, and every one that the tables made of it explain, is there."""
    made = sqlite3.connect(":memory:")
    made.executescript(SCHEMA)
    log = connect_reader(folder / "var/audit.db")
    try:
        for told, connection in ((TABLES, made), (LOG_TABLES, log)):
            for name, (_, columns) in told.items():
                found = {row[1] for row in connection.execute(f"PRAGMA table_info({name})")}
                assert set(columns) <= found, name
                assert told is TABLES or set(columns) == found
    finally:
        made.close()
        log.close()


def test_figures_count_failures_where_they_failed() -> None:
    def run(day: str, ended: str, target: str = "shop/prod") -> dict[str, Any]:
        return {"target": target, "asked_at": f"{day}T00", "ended": ended, "ended_at": f"{day}T02"}

    def hours(since: str, until: str) -> float:
        return 3600.0 * (24 * (int(until[8:10]) - int(since[8:10])) + int(until[11:13]) - int(since[11:13]))

    found = months(
        [
            run("2026-01-03", "failed"),
            run("2026-01-04", "succeeded", "shop/dev"),
            run("2026-01-05", "succeeded"),
            run("2026-03-01", "interrupted"),
        ],
        hours,
    )

    assert [one.name for one in found] == ["2026-01", "2026-02", "2026-03"]
    assert [list(one.values) for one in figures(found)] == [
        [3, 0, 1],
        [2.0, None, None],
        [33.3, None, 100.0],
        [48.0, None, None],
    ]
