"""One way to take back what a request applied, as people are offered it."""

from dataclasses import dataclass
from enum import StrEnum

from ops.proposing import Proposal


class Way(StrEnum):
    """The ways, in the order in which they are offered: what loses least and is surest comes first."""

    NOTHING = "nothing"
    """Nothing of it is on the target: there is nothing to take back."""
    SCRIPT = "script"
    """The repository's own reverse scripts."""
    INVERSE = "inverse"
    """Statements derived from the schema before and after."""
    PRIOR_COPY = "prior-copy"
    """Rows kept when it was applied."""
    TABLES = "tables"
    """Single tables out of the verified backup."""
    RESTORE = "restore"
    """The whole backup."""


@dataclass(frozen=True)
class Offer:
    """A way, and whether it is open.

    With a `proposal` it may be asked for, and the proposal's digest holds all that is said here. Without one there is
    nothing to ask for: `because` says why the way is not offered, in one sentence, or, of `Way.NOTHING`, what was found.
    `does`, `loses` and `proof` are sentences for people: what would run, what would be lost (in rows, counted on the target),
    and what was seen of it on a copy. `loses` is never empty where there is a proposal: what loses nothing says so.
    """

    way: Way
    title: str
    proposal: Proposal | None = None
    does: tuple[str, ...] = ()
    loses: tuple[str, ...] = ()
    proof: tuple[str, ...] = ()
    because: str = ""
