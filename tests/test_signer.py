"""Signing a log, and anchors against it: never two logs that differ, and an anchor shows what the chain cannot."""

import json
import shutil
from pathlib import Path

import pytest
from audit_support import commanded

from audit import Log
from audit import Reader
from audit import verify
from audit.anchors import anchor_line
from audit.checkpoint import Checkpoint
from audit.checkpoint import make_key
from audit.checkpoint import origin_of
from audit.checkpoint import sign
from audit.signer import OtherLog
from audit.signer import Signer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "var" / "audit.db"
    Log.create(found)
    return found


def grow(path: Path, count: int) -> None:
    with Log.open(path) as log:
        log.append([commanded(f"status {number}") for number in range(count)])


def signer_of(path: Path) -> Signer:
    key_path = path.with_name("audit.key")
    key = make_key(key_path, "acme") if not key_path.exists() else None
    from audit.checkpoint import read_key

    with Log.open(path) as log:
        log_id = log.log_id
    return Signer(log_id, [key or read_key(key_path)], path.with_name("audit.key.signed"))


def test_a_checkpoint_goes_on_from_the_one_before_it(path: Path) -> None:
    signer = signer_of(path)
    assert signer.sign(Reader(path)) is None
    notes = []
    for count in (1, 6, 13):
        grow(path, count)
        signed = signer.sign(Reader(path))
        assert signed is not None
        notes.append(("here", signed.note))
    found = verify(path, anchors=notes, keys=[key.verify_key for key in signer.keys])
    assert (found.ok, found.anchors, found.anchored) == (True, 3, 20)


def test_a_log_that_was_cut_or_put_back_is_not_signed(path: Path, tmp_path: Path) -> None:
    grow(path, 5)
    old = tmp_path / "old.db"
    shutil.copy(path, old)
    signer = signer_of(path)
    grow(path, 4)
    signed = signer.sign(Reader(path))
    assert signed is not None
    shutil.copy(old, path)
    with pytest.raises(OtherLog, match="has fewer events"):
        signer.sign(Reader(path))
    grow(path, 9)
    with pytest.raises(OtherLog, match="has another event 9"):
        signer.sign(Reader(path))
    found = verify(path, anchors=[("slack", signed.note)], keys=[signer.keys[0].verify_key])
    assert [one.code for one in found.problems] == ["anchor"]
    assert "Events 1 to 9 are not those that were signed" in found.problems[0].message


def test_what_is_remembered_must_be_readable(path: Path) -> None:
    grow(path, 2)
    signer = signer_of(path)
    for text in ("", "{}", json.dumps({"log": "x", "frontier": {"size": 0, "hashes": []}, "head": ""})):
        signer.memory.write_text(text)
        with pytest.raises(OtherLog):
            signer.sign(Reader(path))


def test_a_cut_off_end_is_told_by_how_much(path: Path, tmp_path: Path) -> None:
    grow(path, 3)
    shutil.copy(path, tmp_path / "old.db")
    grow(path, 4)
    signer = signer_of(path)
    signed = signer.sign(Reader(path))
    assert signed is not None
    line = anchor_line(signed.note, "2026-11-22T12:00:00Z")
    found = verify(tmp_path / "old.db", anchors=[("a file", line)], keys=[signer.keys[0].verify_key])
    assert [one.code for one in found.problems] == ["anchor_ahead"]
    assert "4 events at its end are gone" in found.problems[0].message
    assert "a file, 2026-11-22T12:00:00Z" in found.problems[0].message


def test_what_looks_like_an_anchor_and_is_none_is_told(path: Path, tmp_path: Path) -> None:
    grow(path, 3)
    signer = signer_of(path)
    stranger = make_key(tmp_path / "stranger.key", "acme")
    forged = sign(Checkpoint(origin_of(signer.log_id), 3, bytes(32)), [stranger])
    found = verify(path, anchors=[("slack", forged)], keys=[signer.keys[0].verify_key], wants_anchor=True)
    assert [one.code for one in found.problems] == ["anchor_refused", "anchor_missing"]
