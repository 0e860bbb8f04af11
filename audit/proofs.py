"""Inclusion proofs of many events at once, and roots of a log's tree: its lower parts are read and computed once."""

import json
from collections.abc import Iterable
from collections.abc import Mapping
from functools import partial

from audit.base import Base
from audit.errors import AuditError
from audit.tree import inclusion_path
from audit.tree import node_of
from audit.tree import root_of
from audit.view import View

BLOCK = 4096
"""So many leaves, a power of two, are read and held at a time."""


class NotProvable(AuditError):
    """The hashes that a proof takes are not in this file."""


class Roots:
    """The roots of ranges of a log's first `size` events, as `tree.RangeRoot` asks for them. Each is computed once."""

    def __init__(self, view: View, size: int) -> None:
        self.size = size
        self._view = view
        base = view.base()
        self._begin = base.seq
        self._known = _known_before(base, view.proofs())
        self._block: tuple[int, list[bytes]] = (-1, [])

    def __call__(self, start: int, stop: int) -> bytes:
        """Raises NotProvable where the file no longer has those events, and what reading raises."""
        if (start, stop) in self._known:
            return self._known[start, stop]
        if start < self._begin and stop - start == 1:
            raise NotProvable(f"The log no longer has event {stop}.")
        if start >= self._begin and stop - start <= BLOCK and start // BLOCK == (stop - 1) // BLOCK:
            found = root_of(self._leaves(start, stop))
        else:
            middle = start + (1 << ((stop - start - 1).bit_length() - 1))
            found = node_of(self(start, middle), self(middle, stop))
        self._known[start, stop] = found
        return found

    def _leaves(self, start: int, stop: int) -> list[bytes]:
        number = start // BLOCK
        if self._block[0] != number:
            first = max(number * BLOCK, self._begin)
            wanted = min((number + 1) * BLOCK, self.size) - first
            leaves = [bytes.fromhex(one) for one in self._view.hashes(first, wanted)]
            if len(leaves) != wanted:
                raise NotProvable(f"The log no longer has all of the events {first + 1} to {first + wanted}.")
            self._block = (number, leaves)
        begin = start - max(number * BLOCK, self._begin)
        return self._block[1][begin : begin + stop - start]


def _known_before(base: Base, proofs: Mapping[int, str]) -> dict[tuple[int, int], bytes]:
    """The roots of ranges before the base that can still be told: those of its tree, and those on the way from the events
    that were carried over."""
    known: dict[tuple[int, int], bytes] = {}
    start = 0
    for hash in base.tree.hashes:
        stop = start + (1 << ((base.seq - start).bit_length() - 1))
        known[start, stop] = hash
        start = stop
    for seq, path in proofs.items():
        ranges: list[tuple[int, int]] = []
        inclusion_path(seq - 1, base.seq, partial(_noted, ranges))
        known.update(zip(reversed(ranges), map(bytes.fromhex, json.loads(path)), strict=True))
    return known


def _noted(ranges: list[tuple[int, int]], start: int, stop: int) -> bytes:
    ranges.append((start, stop))
    return b""


def inclusion_paths(roots: Roots, seqs: Iterable[int]) -> dict[int, list[bytes]]:
    """For each of these events, by its number, what leads from its hash to the root of the tree. Raises NotProvable, and
    ValueError for an event that the tree does not have."""
    return {seq: inclusion_path(seq - 1, roots.size, roots) for seq in seqs}
