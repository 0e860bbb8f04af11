"""Dropping old months: what is needed stays with its proof, everything else verifies as before, and the log goes on."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from audit_support import commanded
from audit_support import raw
from audit_support import requested
from segments_support import PLAN
from segments_support import SECRET
from segments_support import Place
from segments_support import fill

from audit import Log
from audit import Query
from audit import Reader
from audit import Roots
from audit import inclusion_paths
from audit import read_key
from audit import schema
from audit import verify
from audit.checkpoint import Checkpoint
from audit.checkpoint import origin_of
from audit.checkpoint import sign
from audit.tree import holds_inclusion
from ops.dropping import drop
from ops.errors import OpsError
from ops.people import Actor
from ops.settings import load_settings


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    monkeypatch.chdir(tmp_path)
    found = Place(tmp_path, capsys)
    fill(found.log)
    found.say("audit", "key")
    found.say("audit", "checkpoint")
    found.say("audit", "seal")
    return found


def dropped(place: Place, before: str) -> dict[str, Any]:
    return place.say("audit", "drop", "--before", before, "--because", "seven years are over")


def test_what_is_needed_stays_and_the_rest_proves_as_before(place: Place) -> None:
    before = {event.seq: event for event in Reader(place.log).since(0, 500)}
    done = dropped(place, "2026-10")
    assert done["months"] == ["2026-06", "2026-07", "2026-08", "2026-09"]
    found = place.verified()
    assert (found["ok"], found["anchors"]) == (True, 2)
    view = Reader(place.log)
    after = {event.seq: event for event in view.since(0, 500)}
    base = view.base()
    assert base.seq == done["last"]
    carried = [seq for seq in after if seq <= base.seq]
    assert 0 < len(carried) == done["carried"] < base.seq
    assert all(after[seq] == before[seq] for seq in after if seq in before)
    assert [seq for seq in before if seq > base.seq] == [seq for seq in after if base.seq < seq <= max(before)]
    assert "R-7" in view.open_requests()
    assert view.find(Query(request="R-1")) == []
    assert not [path for path in place.segments.iterdir() if path.stem in done["months"]]
    text = place.log.read_bytes()
    assert f"{SECRET} 1".encode() not in text
    assert place.say("audit", "segments")["ok"]


def test_a_log_without_its_old_months_goes_on(place: Place) -> None:
    numbers = Reader(place.log).next_number("R-")
    places = {one: Reader(place.log).last_place(one) for one in ("bot", "request:R-1", "target:shop/prod", "all")}
    dropped(place, "2026-10")
    view = Reader(place.log)
    assert view.next_number("R-") == numbers
    assert view.last_place("request:R-1") == places["request:R-1"] == 2
    assert view.last_place("target:shop/prod") == places["target:shop/prod"]
    with Log.open(place.log) as log:
        log.append([commanded("on"), requested("R-8", plan=PLAN)])
        event = log.append([commanded("late", stream="request:R-1")])[0]
    assert event.place == 3
    place.say("audit", "checkpoint")
    assert place.verified()["ok"]
    assert [one["month"] for one in place.say("audit", "segments")["segments"]] == ["2026-10"]
    dropped(place, "2026-11")
    assert place.verified()["ok"]
    roots = Roots(Reader(place.log), view.size())
    for seq, path in inclusion_paths(roots, [one.seq for one in view.since(0, 500) if one.seq <= roots.size]).items():
        [event] = Reader(place.log).find(Query(after_seq=seq - 1, before_seq=seq + 1))
        assert holds_inclusion(bytes.fromhex(event.hash), seq - 1, roots.size, path, roots(0, roots.size))
    place.say("show", "R-7")
    place.say("history")
    place.say("status")
    place.say("audit", "backup", "copy.db")
    assert verify(place.folder / "copy.db").ok


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE event SET actor = 'x:y' WHERE seq = (SELECT min(seq) FROM event)", "hash"),
        (
            "UPDATE event SET hash = commitment WHERE seq = (SELECT min(seq) FROM event)",
            "proof",
        ),
        ("UPDATE payload SET data = '{}' WHERE seq = (SELECT min(seq) FROM event)", "commitment"),
        ("DELETE FROM payload WHERE seq = (SELECT min(seq) FROM event)", "payload_missing"),
        ("DELETE FROM proof", "proof"),
        ("UPDATE base SET at = '2027-01-01T00:00:00.000000Z'", "at"),
        ("UPDATE base SET hash = (SELECT max(commitment) FROM event)", "previous"),
        ("UPDATE base SET seq = seq + 1", "base"),
        ("DELETE FROM base", "base"),
        ("UPDATE reached SET place = place + 1 WHERE stream = 'bot'", "place"),
        ("DROP TRIGGER event_links", "schema"),
        (
            "DELETE FROM proof WHERE seq = (SELECT min(seq) FROM event); DELETE FROM payload WHERE seq = (SELECT min(seq)"
            " FROM event); DELETE FROM event WHERE seq = (SELECT min(seq) FROM event)",
            "carried",
        ),
        ("DELETE FROM reached WHERE stream = 'request:R-1'", "carried"),
    ],
)
def test_a_log_behind_a_base_that_was_touched_is_found(place: Place, statement: str, code: str) -> None:
    dropped(place, "2026-10")
    raw(place.log, *statement.split("; "), guards=code == "schema")
    found = verify(place.log)
    assert code in {one.code for one in found.problems}


def test_events_that_are_gone_without_a_word_are_found(place: Place) -> None:
    dropped(place, "2026-10")
    base = Reader(place.log).base()
    raw(place.log, "DELETE FROM proof", "DELETE FROM reached", guards=False)
    found = {one.code for one in verify(place.log).problems}
    assert "proof" in found
    july = place.folder / "var" / "audit.segments" / "2026-10.db"
    assert {one.code for one in verify(july).problems} == {"base"}
    assert base.seq == Reader(july).base().seq


def test_a_base_that_no_anchor_is_as_new_as_proves_nothing(place: Place) -> None:
    dropped(place, "2026-10")
    base = Reader(place.log).base()
    early = place.folder / "early.jsonl"
    key = read_key(place.folder / "keys" / "audit.key")
    early.write_text(sign(Checkpoint(origin_of(Reader(place.log).log_id()), base.seq - 1, b"x" * 32), [key]))
    found = place.say("audit", "verify", "--anchors", str(early), code=1)
    assert [one["code"] for one in found["problems"]] == ["anchor_missing"]
    assert found["anchors"] == 0


def test_a_hold_that_comes_while_a_drop_begins_holds(place: Place) -> None:
    def hold(step: str) -> None:
        if step == "signed":
            place.say("audit", "hold", "2026-07", "--because", "a court asked")

    with pytest.raises(OpsError, match="2026-07 is held"):
        drop(load_settings(place.config), "2026-10", "x", Actor("os:host/root"), crashpoint=hold)
    assert Reader(place.log).base().seq == 0
    assert place.verified()["ok"]


def test_what_is_held_or_not_there_is_not_dropped(place: Place) -> None:
    size = Reader(place.log).size()
    place.say("audit", "drop", "--before", "2026-06", "--because", "x", code=2)
    place.say("audit", "hold", "2026-07", "--because", "a court asked")
    place.say("audit", "drop", "--before", "2026-10", "--because", "x", code=3)
    place.say("audit", "release", "2026-07", "--because", "done")
    (place.segments / "2026-07.db").chmod(0o600)
    (place.segments / "2026-07.db").write_bytes(b"x")
    place.say("audit", "drop", "--before", "2026-10", "--because", "x", code=1)
    assert Reader(place.log).base().seq == 0
    (place.segments / "2026-07.db").unlink()
    dropped(place, "2026-10")
    assert Reader(place.log).size() > size
    place.say("audit", "hold", "R-6", "--because", "a court asked")
    dropped(place, "2026-11")
    assert Reader(place.log).find(Query(request="R-6"))


def test_nothing_is_dropped_while_somebody_reads(place: Place) -> None:
    reader = schema.connect_reader(place.log)
    place.say("audit", "drop", "--before", "2026-10", "--because", "x", code=2)
    reader.close()
    assert place.verified()["ok"]
    assert Reader(place.log).base().seq == 0
    dropped(place, "2026-10")
    assert place.verified()["ok"]


@pytest.mark.parametrize("step", ["began", "signed", "filled", "on the disk", "said", "renamed", "trimmed"])
def test_a_drop_that_is_killed_at_any_step_is_made_good(place: Place, step: str) -> None:
    child = os.fork()
    if child == 0:

        def die(reached: str) -> None:
            if reached == step:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            drop(load_settings(place.config), "2026-10", "x", Actor("os:host/root"), crashpoint=die)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert place.verified()["ok"]
    assert (Reader(place.log).base().seq > 0) == (step in {"renamed", "trimmed"})
    place.say("audit", "seal")
    if step not in {"renamed", "trimmed"}:
        dropped(place, "2026-10")
    assert [one["month"] for one in place.say("audit", "segments")["segments"]] == ["2026-10"]
    assert Reader(place.log).last(kind="dropped") is not None
    assert place.verified()["ok"]
    assert sorted(path.name for path in place.segments.iterdir()) == ["2026-10.db"]
