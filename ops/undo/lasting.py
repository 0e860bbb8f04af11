"""Something that files did and no definition of a schema brings back."""

from dataclasses import dataclass

from ops.prior.touching import What
from ops.undo.contents import Table


@dataclass(frozen=True)
class Lasting:
    """`said` says it in a sentence. `what` became of which rows of `table`, where a prior copy may hold them; None where
    none does. `place` is the statement (version, index), None where comparing both sides shows it."""

    said: str
    what: What | None = None
    table: Table | None = None
    columns: tuple[str, ...] = ()
    place: tuple[str, int] | None = None
