"""Judging on a copy what files did that their reversal does not bring back, as soon as the copy has shown both sides."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field

from ops.migration import Migration
from ops.rehearsal.copy import Copy
from ops.undo.contents import Columns
from ops.undo.contents import read_columns
from ops.undo.lasting import Lasting
from ops.undo.met import Met
from ops.undo.met import read_met
from ops.undo.proving import NotProvenError
from ops.undo.writes import all_lasting


def _nothing_kept(_one: Lasting) -> bool:
    return False


@dataclass
class Judging:
    """Of these files, all that `is_kept` does not say is kept otherwise."""

    files: Sequence[Migration]
    is_kept: Callable[[Lasting], bool] = _nothing_kept
    now: Columns = field(default_factory=dict)

    def first(self, copy: Copy, _with_rows: bool) -> tuple[str, ...]:
        """Look at the copy before anything runs on it."""
        with closing(copy.ask()) as ask:
            self.now = read_columns(ask)
        return ()

    def behind(self, copy: Copy, _with_rows: bool) -> tuple[str, ...]:
        """Behind the first reversal. Raises NotProvenError with the first such thing."""
        with closing(copy.ask()) as ask:
            before, met = read_columns(ask), read_met(ask)
        said = next(not_kept(self.files, before, self.now, met, self.is_kept), "")
        if said:
            raise NotProvenError(said)
        return ()


def not_kept(
    files: Sequence[Migration], before: Columns, after: Columns, met: Met, is_kept: Callable[[Lasting], bool]
) -> Iterator[str]:
    """What the files did that nothing brings back, in sentences. What is no table before them, a view say, was never kept."""
    for one in all_lasting(files, before, after, met):
        if one.table not in before or not is_kept(one):
            yield one.said
