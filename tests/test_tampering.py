"""Every kind of tampering, twenty times each: found with anchors, and those that only anchors show are told as such."""

import shutil
from pathlib import Path

import pytest
import tampering
from audit_support import ANA
from audit_support import BEN
from audit_support import commanded

from audit import Log
from audit import Reader
from audit import SigningKey
from audit import verify
from audit.checkpoint import Checkpoint
from audit.checkpoint import make_key
from audit.checkpoint import origin_of
from audit.checkpoint import sign
from audit.signer import Signer
from audit.tree import root_of

TRIALS = 20
EVENTS = 45
EVERY = 15


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]], SigningKey]:
    """A log that was signed every fifteen events, with older copies of it, the anchors and the key."""
    path = tmp_path_factory.mktemp("original") / "audit.db"
    Log.create(path)
    key = make_key(path.with_name("audit.key"), "acme")
    anchors = []
    for number in range(EVENTS // EVERY):
        with Log.open(path) as log:
            drafts = [
                commanded(f"text {number} {each}", actor=BEN if each % 2 else ANA, stream=f"s{each % 4}")
                for each in range(EVERY)
            ]
            log.append(drafts)
            signer = Signer(log.log_id, [key], path.with_name("audit.key.signed"))
        signed = signer.sign(Reader(path))
        assert signed is not None
        anchors.append((f"anchor {number + 1}", signed.note))
        if number < EVENTS // EVERY - 1:
            shutil.copy(path, path.with_name(f"older-{number}.db"))
    return path, anchors, key


@pytest.fixture
def path(original: tuple[Path, list[tuple[str, str]], SigningKey], tmp_path: Path) -> Path:
    for file in original[0].parent.glob("*.db"):
        shutil.copy(file, tmp_path)
    return tmp_path / "audit.db"


@pytest.mark.parametrize("kind", sorted(tampering.KINDS))
def test_is_found(kind: str, original: tuple[Path, list[tuple[str, str]], SigningKey], path: Path) -> None:
    _, anchors, key = original
    keys = [key.verify_key]
    assert verify(path, anchors=anchors, keys=keys, wants_anchor=True).ok
    for trial in range(TRIALS):
        shutil.copy(original[0], path)
        tampering.KINDS[kind](path, tampering.chance_of(f"{kind} {trial}"))
        assert not verify(path, anchors=anchors, keys=keys, wants_anchor=True).ok, f"trial {trial}"
        if trial == 0:
            assert verify(path).ok == (kind in tampering.NEEDS_ANCHORS)


def test_it_says_between_which_anchors(original: tuple[Path, list[tuple[str, str]], SigningKey], path: Path) -> None:
    _, anchors, key = original

    def change(rows: list[tampering.Row]) -> None:
        tampering.edited(rows[EVERY + 3])

    tampering.rewritten(path, change)
    found = verify(path, anchors=anchors, keys=[key.verify_key])
    assert found.anchored == EVERY
    assert [one.code for one in found.problems] == ["anchor", "anchor"]
    assert f"Events {EVERY + 1} to {2 * EVERY} are not those that were signed" in found.problems[0].message
    assert f"the anchor at {EVERY} (anchor 1) still holds" in found.problems[0].message


def test_a_stolen_key_makes_no_old_anchor_hold(
    original: tuple[Path, list[tuple[str, str]], SigningKey], path: Path
) -> None:
    _, anchors, key = original
    tampering.made_anew(path, tampering.chance_of("stolen"))
    with Log.open(path) as log:
        log_id = log.log_id
    leaves = [bytes.fromhex(one) for one in Reader(path).hashes(0, EVENTS)]
    forged = sign(Checkpoint(origin_of(log_id), EVENTS, root_of(leaves)), [key])
    assert verify(path, anchors=[("forged", forged)], keys=[key.verify_key]).ok
    found = verify(path, anchors=[*anchors, ("forged", forged)], keys=[key.verify_key])
    assert not found.ok
    assert found.anchors == len(anchors) + 1


def test_what_came_after_the_last_anchor_is_not_proven(
    original: tuple[Path, list[tuple[str, str]], SigningKey], path: Path
) -> None:
    """The limit: whoever has the file may change what no anchor covers yet, so the answer says how far it is proven."""
    _, anchors, key = original
    tampering.rewritten(path, lambda rows: tampering.edited(rows[-1]))
    found = verify(path, anchors=anchors[:-1], keys=[key.verify_key])
    assert (found.ok, found.anchored, found.events) == (True, EVENTS - EVERY, EVENTS)
