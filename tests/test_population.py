"""Every production change of a period, what proves that none is missing, and samples that anybody can draw again."""

import csv
import io
import sqlite3
from argparse import Namespace
from contextlib import closing
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from apply_helpers import fresh_target
from audit_support import ANA
from test_settings import GOOD
from test_settings import load

from audit import Draft
from audit import Log
from audit import Query
from audit import Reader
from audit.changes import Change
from audit.changes import changes
from audit.changes import digests
from audit.changes import failed_runs
from audit.changes import whole
from bench.big_log import build
from commands.audit import run_audit
from commands.reply import Reply
from ops.population import drawn
from ops.population import reconciled
from ops.targets import find_target

EVENTS = 4000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("population") / "audit.db"
    build(found, EVENTS)
    return found


def asked(path: Path, folder: Path, **more: Any) -> tuple[Reply, str]:
    """What `audit population` answers, and what it writes to standard output."""
    settings = load(folder, f'{GOOD}\n[audit]\npath = "{path}"\n')
    said: dict[str, Any] = {"from": "2025-01", "to": "2025-12", "env": None, "sample": None, "seed": "1"}
    said |= {"verify": False, "offline": True, "format": None}
    out = io.StringIO(newline="")
    return run_audit(settings, Namespace(action="population", **{**said, **more}), 0, out), out.getvalue()


def test_population_is_what_a_walk_through_the_log_finds(path: Path) -> None:
    reader = Reader(path)
    events = reader.find(Query())
    low, high = 1000, 3500
    inside = [event for event in events if low < event.seq < high]
    runs = {event.request: event for event in inside if event.stream == f"request:{event.request}"}
    ended = {request: event for request, event in runs.items() if event.kind == "succeeded"}
    outside = [event.seq for event in inside if event.kind == "changed_outside"]

    found = changes(reader, low, high)

    assert outside
    assert [one.seq for one in found] == sorted([*(event.seq for event in ended.values()), *outside])
    assert failed_runs(reader, low, high) == sum(event.kind == "failed" for event in runs.values())
    for one in found:
        about = [event for event in events if event.request == one.request and one.request]
        assert one.asked_by == next((event.actor for event in about if event.kind == "requested"), None)
        assert list(one.allowed_by) == [event.actor for event in about if event.kind == "approved"]
    some = [one.request for one in found[:5] if one.request]
    approved = {event.request: (event.data or {})["digest"] for event in events if event.kind == "requested"}
    assert digests(reader, some) == {request: approved[request] for request in some}
    assert [one.target for one in changes(reader, low, high, counts=lambda name: name == "shop/prod")] == [
        one.target for one in found if one.target == "shop/prod"
    ]


def test_a_sample_is_drawn_again_by_its_seed_alone() -> None:
    found = [Change(seq, "", "succeeded", "shop/prod", f"R-{seq}", None, (), False) for seq in range(1, 200)]
    one = drawn(found, 10, "7", "ab")
    assert one == drawn(found[::-1], 10, "7", "ab") == sorted(one)
    assert {change.seq for change in one} < {change.seq for change in drawn(found, 20, "7", "ab")}
    assert one != drawn(found, 10, "8", "ab")
    assert [change.seq for change in drawn(found, 3, "7", "ab")] == [59, 191, 193]
    assert drawn(found[:3], 10, "7", "ab") == found[:3]


def test_gaps_are_found_and_their_absence_is_told(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "audit.db"
    copy.write_bytes(path.read_bytes())
    with Log.open(copy) as log:
        signed = {"size": EVENTS, "root": "ab" * 32, "note": "x", "because": "asked"}
        log.append([Draft(kind="checkpoint_signed", actor=ANA, stream="bot", data=signed)])
    reader = Reader(copy)
    proof = whole(reader, 1000, 2001, reads=True)
    assert (proof.first, proof.last, proof.missing, proof.broken, proof.before) == (1001, 2000, 0, None, None)
    assert proof.after == (EVENTS, "ab" * 32)
    assert whole(reader, EVENTS, EVENTS + 2, reads=False).after is None, "the checkpoint does not cover itself"
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DROP TRIGGER event_no_update")
        connection.execute("DROP TRIGGER event_no_delete")
        connection.execute("UPDATE event SET actor = 'system:nobody' WHERE seq = 1500")
        connection.commit()
    assert whole(reader, 1000, 2001, reads=True).broken == 1500
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DELETE FROM event WHERE seq = 1200")
        connection.commit()
    proof = whole(reader, 1000, 2001, reads=True)
    assert (proof.missing, proof.broken) == (1, 1201)
    reply, _ = asked(copy, tmp_path)
    assert (reply.ok, reply.exit_code, reply.data["whole"]["missing"]) == (False, 1, 1)
    assert "1 event of the log are missing" in str(reply.page.facts)


def test_the_page_counts_production_and_says_what_it_left_out(path: Path, tmp_path: Path) -> None:
    reply, written = asked(path, tmp_path)
    assert (reply.ok, written) == (True, "")
    listed = reply.data["listed"]
    assert len(listed) == reply.data["changes"] > 50
    assert {one["target"] for one in listed} == {"shop/prod", "blog/prod", "blog/dev"}, "what is not configured counts"
    assert reply.data["left_out"] == ["shop/dev"]
    assert "These are 50 of" in str(reply.page.body)
    only, _ = asked(path, tmp_path, env="shop/prod")
    assert {one["target"] for one in only.data["listed"]} == {"shop/prod"}
    noted = Reader(path).find(Query(kinds=("exported",), newest_first=True, limit=1))
    assert [(event.data or {})["query"] for event in noted] == ["population from 2025-01 to 2025-12 of shop/prod"]


def test_what_was_asked_is_written_down_whole_and_a_period_that_goes_on_is_told(path: Path, tmp_path: Path) -> None:
    reply, _ = asked(path, tmp_path, to="2099", sample=3, seed="x")
    assert "Not over" in dict(reply.page.facts)
    [noted] = Reader(path).find(Query(kinds=("exported",), newest_first=True, limit=1))
    assert (noted.data or {})["query"] == "population from 2025-01 to 2099, a sample of 3 with seed x"
    assert "Not over" not in dict(asked(path, tmp_path)[0].page.facts)


def test_the_file_has_all_of_them_and_the_period_is_whole(path: Path, tmp_path: Path) -> None:
    reply, written = asked(path, tmp_path, format="csv", **{"from": "2024", "to": "2026"})
    rows = list(csv.DictReader(io.StringIO(written)))
    assert len(rows) == reply.data["changes"]
    halves = [asked(path, tmp_path, **{"from": f"2024-{start}", "to": end}) for start, end in (("Q1", "2025-06"),)]
    halves += [asked(path, tmp_path, **{"from": "2025-07-01", "to": "2026-12-31"})]
    assert sum(half.data["changes"] for half, _ in halves) == len(rows), "none twice and none between"
    sample, drawn_rows = asked(path, tmp_path, format="csv", sample=5, seed="x")
    assert sample.data["sample"] == len(list(csv.DictReader(io.StringIO(drawn_rows)))) == 5
    assert sample.data["whole"]["first"] > 1


def test_targets_histories_stand_beside_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One version in both, one of the log that somebody took out, one that the log knows nothing of; and a dead target."""
    path = tmp_path / "audit.db"
    Log.create(path)
    file = {"name": "x", "sha256": "0", "catalog_sha256": "0", "statements": 1, "seconds": 0.1}
    with Log.open(path) as log:
        for kind, version in (("applied", "1"), ("applied", "2"), ("applied", "3"), ("undone", "3")):
            about = {"stream": "target:shop/prod", "project": "shop", "environment": "prod"}
            log.append([Draft(kind=f"migration_{kind}", actor=ANA, data={**file, "version": version}, **about)])
    target = find_target(load(tmp_path, GOOD), "prod")
    with fresh_target() as fresh:
        monkeypatch.setenv("SHOP_PROD_DATABASE_URL", fresh.url)
        fresh.run("INSERT INTO supabase_migrations.schema_migrations (version) VALUES ('1'), ('9')")
        found = reconciled(Reader(path), target)
    assert (found.problem, found.in_both, found.only_in_log, found.only_there) == (None, 1, ("2",), ("9",))
    gone = reconciled(Reader(path), target)
    assert gone.problem
    assert (gone.in_both, gone.only_in_log, gone.only_there) == (0, (), ())


@pytest.mark.parametrize(("since", "until"), [("2025-12", "2025-01"), ("soon", "2025"), ("2025", "never")])
def test_what_is_no_period_is_refused(path: Path, tmp_path: Path, since: str, until: str) -> None:
    reply, _ = asked(path, tmp_path, **{"from": since, "to": until})
    assert (reply.exit_code, reply.reason) == (2, "bad_usage")


def test_periods_are_in_utc(path: Path) -> None:
    low, high = Reader(path).span(Query(since=datetime(2025, 1, 1, tzinfo=UTC), until=datetime(2026, 1, 1, tzinfo=UTC)))
    assert {event.at.year for event in Reader(path).find(Query(after_seq=low, before_seq=high))} == {2025}
