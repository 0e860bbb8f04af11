"""Plans and reports of rehearsals, made by hand for the tests of hazards."""

from collections.abc import Sequence

from ops.hazards import Hazard
from ops.hazards import find_hazards
from ops.hazards.rehearsed import hazards_after
from ops.migrations import Migration
from ops.migrations import read_folder
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows

GB, MB, KB = 2**30, 2**20, 2**10
_UNASKED = ("linter-failed", "cannot-be-read")


def files(*texts: str) -> tuple[Migration, ...]:
    """The texts as versions 1, 2…"""
    return read_folder({f"{number}_file.sql": text.encode() for number, text in enumerate(texts, 1)}).migrations


def rehearsal(
    pending: Sequence[Migration], *facts: StatementFacts, with_data: bool = False, left_out: int = 0
) -> Rehearsal:
    """All files passed; the facts belong to the first."""
    told = [
        FileFacts(one.version, one.filename, "passed", 0.1, "0" * 64, facts if one is pending[0] else (), ran=9)
        for one in pending
    ]
    told[0] = FileFacts(**{**vars(told[0]), "left_out": left_out})
    return Rehearsal(Outcome.PASSED, files=tuple(told), with_data=with_data, is_exact=True)


def after(text: str, *facts: StatementFacts, with_data: bool = False, left_out: int = 0) -> tuple[Hazard, ...]:
    """The hazards of one file after a rehearsal that showed these facts."""
    pending = files(text)
    hazards = find_hazards(pending, squawk=None)
    found = hazards_after(hazards, pending, rehearsal(pending, *facts, with_data=with_data, left_out=left_out))
    return tuple(one for one in found if one.rule not in _UNASKED)


def saw(
    index: int = 0,
    *,
    locks: Sequence[HeldLock] = (),
    rewrites: Sequence[Rewrite] = (),
    rows: Sequence[TouchedRows] = (),
    drops: Sequence[Dropped] = (),
    more: int = 0,
) -> StatementFacts:
    """What one statement did, each on a line of its own."""
    return StatementFacts(index, index + 1, 0.1, tuple(locks), tuple(rewrites), tuple(rows), tuple(drops), more)
