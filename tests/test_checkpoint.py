"""Signed checkpoints: their form byte for byte, keys and their files, and that no changed note passes."""

import base64
import hashlib
import os
import stat
from pathlib import Path

import pytest

from audit.checkpoint import BadKey
from audit.checkpoint import BadNote
from audit.checkpoint import Checkpoint
from audit.checkpoint import SigningKey
from audit.checkpoint import VerifyKey
from audit.checkpoint import make_key
from audit.checkpoint import open_note
from audit.checkpoint import origin_of
from audit.checkpoint import read_key
from audit.checkpoint import sign

CHECKPOINT = Checkpoint(origin_of("ab" * 16), 48, hashlib.sha256(b"root").digest())


def key_named(name: str, seed: bytes = bytes(32)) -> SigningKey:
    return SigningKey.from_text(f"PRIVATE+KEY+{name}+{base64.b64encode(seed).decode()}\n")


KEY, OTHER = key_named("acme"), key_named("other", bytes([7]) * 32)


def test_a_note_is_three_lines_an_empty_one_and_signatures() -> None:
    note = sign(CHECKPOINT, [KEY, OTHER])
    lines = note.split("\n")
    assert lines[:4] == [f"countersign.audit/{'ab' * 16}", "48", base64.b64encode(CHECKPOINT.root).decode(), ""]
    assert [line.split()[:2] for line in lines[4:6]] == [["—", "acme"], ["—", "other"]]
    assert lines[6:] == [""]
    assert open_note(note, [KEY.verify_key]) == (CHECKPOINT, (KEY.verify_key,))
    assert open_note(note, [OTHER.verify_key, KEY.verify_key])[1] == (KEY.verify_key, OTHER.verify_key)


def test_the_key_of_rfc_8032_has_the_public_half_that_the_rfc_says() -> None:
    """RFC 8032, section 7.1, test 1; the short id is the definition's."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = key_named("rfc", seed)
    assert key.verify_key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.signature("").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    assert key.verify_key.id == hashlib.sha256(b"rfc\n\x01" + key.verify_key.public).digest()[:4]


def test_no_changed_byte_passes() -> None:
    note = sign(CHECKPOINT, [KEY])
    for place in range(len(note)):
        changed = note[:place] + ("x" if note[place] != "x" else "y") + note[place + 1 :]
        with pytest.raises(BadNote):
            open_note(changed, [KEY.verify_key])


@pytest.mark.parametrize(
    "note", ["", "\n\n", "a\n1\nAA==\n\n", "x" * 20_000, "a\n1\n\n— acme AAAAAAA=\n", "\ud800\n\n\n"]
)
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(BadNote):
        open_note(note, [KEY.verify_key])


def test_a_signature_by_nobody_we_know_does_not_count() -> None:
    with pytest.raises(BadNote, match="None of the keys"):
        open_note(sign(CHECKPOINT, [OTHER]), [KEY.verify_key])
    renamed = key_named("acme", bytes([7]) * 32)
    with pytest.raises(BadNote, match="None of the keys"):
        open_note(sign(CHECKPOINT, [renamed]), [KEY.verify_key])


@pytest.mark.parametrize(
    "text",
    ["", "a\n", "a\n-1\nAA==\n", "a\n01\nAA==\n", "a\n1\nAA==\n", "a\n1\nno base64\n", "\n1\nAA==\n", "a\n1\nAA=="],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        Checkpoint.read(text)


def test_a_public_key_is_read_back_and_a_damaged_one_refused() -> None:
    text = KEY.verify_key.to_text()
    assert VerifyKey.from_text(f"{text}\n") == KEY.verify_key
    for damaged in ("", "acme", text[:-3], text.replace("acme", "acne"), text.replace("+", " ", 1)):
        with pytest.raises(BadKey):
            VerifyKey.from_text(damaged)


def test_a_key_lies_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "var" / "audit.key"
    made = make_key(path, "acme")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert read_key(path).verify_key == made.verify_key
    assert made.verify_key.public.hex() not in repr(path.read_text())
    assert path.read_text().strip().rpartition("+")[2] not in repr(made)
    with pytest.raises(BadKey, match="already something"):
        make_key(path, "acme")
    path.chmod(0o640)
    with pytest.raises(BadKey, match="Others than its owner"):
        read_key(path)


def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    with pytest.raises(BadKey, match="cannot be read"):
        read_key(path)
    for text in (b"", b"hunter2", b"PRIVATE+KEY+acme+aHVudGVyMg==", b"PRIVATE+KEY++", b"\xff\xfe"):
        path.write_bytes(text)
        path.chmod(0o600)
        with pytest.raises(BadKey) as refused:
            read_key(path)
        assert "hunter2" not in f"{refused.value!r}{refused.value}"
    with pytest.raises(BadKey, match="no name"):
        make_key(tmp_path / "new", "two words")
