"""Erasing text: it is gone from every file, the chain and the anchors hold, and what is needed stays."""

import os
import signal
from pathlib import Path

import pytest
from audit_support import ANA
from segments_support import MONTHS
from segments_support import SECRET
from segments_support import Place
from segments_support import fill

from audit import Event
from audit import Log
from audit import LogUnavailable
from audit import Query
from audit import Reader
from audit import erase
from audit import erasing
from audit import schema
from audit import verify
from ops.erasing import Wanted
from ops.erasing import erase_text
from ops.layer import utc_now
from ops.people import Actor
from ops.segments import mend
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


def files_with(text: str, folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes())


def text_of(place: Place) -> list[int]:
    return [event.seq for event in Reader(place.log).find(Query(text=SECRET))]


def test_a_persons_text_is_gone_from_every_file_and_the_log_still_proves(place: Place) -> None:
    place.say("audit", "archive", "--to", "kept.tar.gz")
    place.say("audit", "backup", "copy.db")
    place.log.with_name("audit.db.index").write_text(SECRET)
    assert files_with(SECRET, place.folder) == [
        "2026-06.db", "2026-07.db", "2026-08.db", "2026-09.db", "audit.db", "audit.db.index", "copy.db",
    ]  # fmt: skip
    before = {event.seq: event.hash for event in Reader(place.log).since(0, 500)}
    would = place.say("audit", "erase", "--person", "U0ANA", "--because", "asked to", "--dry-run")
    assert len(text_of(place)) == 12
    done = place.say("audit", "erase", "--person", "U0ANA", "--because", "asked to")
    assert done["seqs"] == would["seqs"]
    assert text_of(place) == []
    assert done["months"] == list(MONTHS)
    assert files_with(SECRET, place.folder) == ["copy.db"]
    assert [Path(one).name for one in done["copies"]] == ["kept.tar.gz", "copy.db"]
    after = {event.seq: event.hash for event in Reader(place.log).since(0, 500)}
    assert before.items() <= after.items()
    assert place.verified()["ok"]
    assert place.say("audit", "segments")["ok"]
    [event] = Reader(place.log).find(Query(kinds=("erased",)))
    assert event.data == {"seqs": done["seqs"], "because": "asked to"}
    assert event.actor.startswith("os:")
    place.say("audit", "erase", "--person", "U0ANA", "--because", "again", code=3)


def test_what_is_open_held_or_needed_stays(place: Place) -> None:
    place.say("audit", "hold", "R-3", "--because", "a court asked")
    kept = place.say("audit", "erase", "--person", "U0ANA", "--because", "x")["kept"]
    reader = Reader(place.log)
    assert {reader.find(Query(after_seq=int(seq) - 1, limit=1))[0].request for seq in kept} == {"R-3", "R-7"}
    assert set(kept.values()) == {"R-3 is held", "the request is not over"}
    place.say("audit", "erase", "--request", "R-7", "--because", "x", code=3)
    place.say("audit", "release", "R-3", "--because", "the court is done")
    assert place.say("audit", "erase", "--request", "R-3", "--because", "x")["kept"] == {}
    place.say("audit", "release", "R-3", "--because", "again", code=2)
    [locked] = reader.find(Query(kinds=("locked",)))
    place.say("audit", "erase", "--seqs", f"{locked.seq}", "--because", "x", code=3)


def test_a_request_whose_text_is_gone_can_still_be_looked_at(place: Place) -> None:
    place.say("audit", "erase", "--request", "R-2", "--because", "x")
    shown = place.say("show", "R-2")
    assert (shown["request"], shown["status"]) == ("R-2", "cancelled")
    place.say("history")
    place.say("status", code=0)


def test_two_people_where_two_are_wanted(place: Place) -> None:
    place.config.write_text(place.config.read_text().replace("[audit]", "[audit]\nerase_needs_two = true", 1))
    asked = place.say("audit", "erase", "--request", "R-2", "--because", "x")["asked"]
    assert place.say("audit", "erase", "--agree", str(asked), "--because", "x", code=3)["reason"] == "self_approval"
    assert len(text_of(place)) == 12
    done = erase_text(load_settings(place.config), Wanted(agree=asked), "x", Actor("os:host/other"))
    assert len(done.found.seqs) == 2
    assert len(text_of(place)) == 11
    place.say("audit", "erase", "--agree", str(asked + 1), "--because", "x", code=2)


def test_what_work_that_was_killed_left_holds_no_text_either(place: Place) -> None:
    left = [place.log.with_name(f"audit.db{end}") for end in (".new", ".new-journal", ".index-journal")]
    left.append(place.segments / "2026-11.db.new")
    for path in left:
        path.write_text(SECRET)
    place.say("audit", "archive", "--to", "kept.tar.gz")
    place.say("audit", "restore-archive", "kept.tar.gz", "--to", "again")
    copies = place.say("audit", "erase", "--person", "U0ANA", "--because", "asked to")["copies"]
    assert [Path(one).name for one in copies] == ["kept.tar.gz", "again"]
    assert {place.folder / "again" / name for name in files_with(SECRET, place.folder)} == {
        path for path in (place.folder / "again").iterdir() if path.stem < "2026-10"
    }


@pytest.mark.parametrize(
    "step", ["recorded", "deleted", "committed", "emptied", "filled", "on the disk", "said", "renamed"]
)
def test_an_erasure_that_is_killed_at_any_step_is_made_good(
    place: Place, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        _erase_and_die(place, step, monkeypatch)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert place.verified()["ok"]
    is_done = text_of(place) == [] if step not in {"recorded", "deleted"} else len(text_of(place)) == 12
    assert is_done
    if step in {"recorded", "deleted"}:
        assert not Reader(place.log).find(Query(kinds=("erased",)))
        place.say("audit", "erase", "--person", "U0ANA", "--because", "asked to")
    else:
        place.say("audit", "seal")
    assert files_with(SECRET, place.folder) == []
    assert place.verified()["ok"]
    assert place.say("audit", "segments")["ok"]


def _erase_and_die(place: Place, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends this process as kill -9 does, at a step."""

    def die(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = load_settings(place.config)
    eraser = erasing._Eraser
    perform, empty, insert = eraser._perform, eraser.empty_wal, eraser._insert

    def inserted(self: erasing._Eraser, *given: object) -> object:
        done = insert(self, *given)  # type: ignore[arg-type]
        die("recorded")
        return done

    def performed(self: erasing._Eraser, *given: object) -> object:
        done = perform(self, *given)  # type: ignore[arg-type]
        die("deleted")
        return done

    def emptied(self: erasing._Eraser) -> None:
        die("committed")
        empty(self)
        die("emptied")

    eraser._insert, eraser._perform, eraser.empty_wal = inserted, performed, emptied  # type: ignore[method-assign, assignment]
    monkeypatch.setattr("ops.erasing.mend", lambda ops: mend(ops, die))
    try:
        erase_text(settings, Wanted(person="U0ANA"), "asked to", Actor("os:host/root"))
    finally:
        os._exit(1)


def test_a_reader_who_keeps_the_text_in_the_wal_is_told_of(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "EMPTY_SECONDS", 0.1)
    reader = schema.connect_reader(place.log)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchall()
    with pytest.raises(LogUnavailable, match="somebody reads"):
        erase_text(load_settings(place.config), Wanted(person="U0ANA"), "x", Actor("os:host/root"))
    reader.close()
    place.say("audit", "seal")
    assert files_with(SECRET, place.folder) == []


def test_nothing_is_erased_while_the_bot_has_the_log(place: Place) -> None:
    with Log.open(place.log):
        place.say("audit", "erase", "--person", "U0ANA", "--because", "x", code=5)
        assert len(text_of(place)) == 12


def test_an_erasure_that_is_refused_leaves_nothing(place: Place) -> None:
    def refuse(_: object) -> list[Event]:
        raise RuntimeError

    size = Reader(place.log).size()
    with pytest.raises(RuntimeError):
        erase(place.log, refuse, clock=utc_now)  # type: ignore[arg-type]
    assert (Reader(place.log).size(), verify(place.log).ok, ANA) == (size, True, ANA)
