"""A page of answers: through the side file as far as that goes, by looking through the log for the rest."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from audit.query import Query
from audit.side_index import Opened
from audit.side_index import SideIndex
from audit.side_index import Stale
from audit.view import Reader
from audit.view import View

SECONDS = 2.0
"""So long a page is looked for; then what was found is shown, and where to go on."""

Piece = tuple[list[dict[str, Any]], int | None]


@dataclass(frozen=True)
class Page:
    """Rows of the view `events` in the query's order, at most as many as its limit. `more`: there are others behind them.

    `looked_to` is the last event that was looked at where time ran out, else None: then all of the log was looked at.
    """

    rows: list[dict[str, Any]]
    more: bool
    looked_to: int | None = None


def search(reader: Reader, query: Query, *, seconds: float = SECONDS) -> Page:
    """The first of the events that are asked for. Reads only. Raises what reading raises."""
    until = time.monotonic() + seconds
    limit = query.limit or 1
    found: list[dict[str, Any]] = []
    with reader.together() as view:
        for rows, looked_to in _pieces(reader, view, replace(query, limit=limit + 1)):
            found += rows
            if len(found) > limit:
                return Page(found[:limit], more=True)
            if looked_to is not None and time.monotonic() > until:
                return Page(found, more=True, looked_to=looked_to)
    return Page(found, more=False)


def _pieces(reader: Reader, view: View, query: Query) -> Iterator[Piece]:
    """What matches, in order; each piece with the last event looked at, None where nothing is left of that part."""
    low, high = view.span(query)
    # bounds as numbers from here on, so that one moment is not looked up for every part
    query = replace(query, since=None, until=None, after_seq=low, before_seq=high)
    if query.text is not None or not (query.conditions or query.own_fields() or query.kinds):
        yield from view.slices(query)
        return
    with SideIndex(reader.path).opened(view) as opened:
        covered = min(max(opened.covered, low), high - 1) if opened else low
        new = view.slices(replace(query, after_seq=covered)) if covered + 1 < high else ()
        if query.newest_first:
            yield from new
        if opened:
            yield from _indexed(view, opened, replace(query, before_seq=covered + 1))
        if not query.newest_first:
            yield from new


def _indexed(view: View, opened: Opened, query: Query) -> Iterator[Piece]:
    low, high = query.after_seq or 0, query.before_seq or 0
    looked_to = None
    try:
        for seqs in opened.candidates(query, low, high):
            looked_to = seqs[-1] if seqs else None
            yield [row for row in view.rows_at(seqs) if view.fits(query, row)], looked_to
    except Stale:
        reached = looked_to or (high if query.newest_first else low)
        rest = replace(query, before_seq=reached) if query.newest_first else replace(query, after_seq=reached)
        yield from view.slices(rest)
