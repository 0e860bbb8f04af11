"""The Merkle tree over a log's events (RFC 6962, section 2.1): what a checkpoint signs, and proofs against it.

The hash of an event is the tree's leaf as it stands: SHA-256 over a zero byte and the event. So the tree needs nothing in
the log that is not there already. Hashes are 32 bytes; leaf `i` is the hash of event `i + 1`. Pure functions of values.
"""

import hashlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Self

EMPTY_ROOT = hashlib.sha256(b"").digest()

RangeRoot = Callable[[int, int], bytes]
"""The root over the leaves from `start` (inclusive) to `stop` (exclusive); asked for ranges that hold at least one leaf."""


def node_of(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """A tree of `size` leaves, as far as it takes to go on: the roots of its perfect subtrees, the largest first.

    There are as many as `size` has binary ones, so a tree of ten million is twenty-odd hashes.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def extended(self, leaves: Iterable[bytes]) -> Self:
        """The tree with these leaves behind the ones that it has."""
        size, hashes = self.size, list(self.hashes)
        for leaf in leaves:
            node, number = leaf, size
            while number & 1:  # two subtrees of one height become one of the next
                node = hashlib.sha256(b"\x01" + hashes.pop() + node).digest()
                number >>= 1
            hashes.append(node)
            size += 1
        return type(self)(size, tuple(hashes))

    def joined(self, behind: Self) -> Self:
        """The tree with the leaves of another one behind its own. Raises ValueError unless this one's size is a multiple of
        the other's largest subtree, since its subtrees would not be those of the whole then."""
        size, hashes, left = self.size, list(self.hashes), behind.size
        for subtree in behind.hashes:
            level = left.bit_length() - 1
            if size & ((1 << level) - 1):
                raise ValueError("these trees do not fit together")
            node, number = subtree, size >> level
            while number & 1:
                node = node_of(hashes.pop(), node)
                number >>= 1
            hashes.append(node)
            size, left = size + (1 << level), left - (1 << level)
        return type(self)(size, tuple(hashes))

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        *rest, node = self.hashes
        for left in reversed(rest):
            node = node_of(left, node)
        return node

    def to_json(self) -> dict[str, Any]:
        return {"size": self.size, "hashes": [one.hex() for one in self.hashes]}

    @classmethod
    def from_json(cls, found: Any) -> Self:
        """Raises ValueError for anything that is no frontier."""
        try:
            size, hashes = found["size"], tuple(bytes.fromhex(one) for one in found["hashes"])
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError("this is no frontier of a tree") from error
        is_number = type(size) is int and size >= 0
        if not is_number or len(hashes) != size.bit_count() or any(len(one) != 32 for one in hashes):
            raise ValueError("this is no frontier of a tree")
        return cls(size, hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    return Frontier().extended(leaves).root()


def range_root_of(leaves: Sequence[bytes]) -> RangeRoot:
    """The roots of ranges of leaves that are all at hand."""
    return lambda start, stop: root_of(leaves[start:stop])


def inclusion_path(index: int, size: int, range_root: RangeRoot) -> list[bytes]:
    """What it takes to get from leaf `index` to the root of a tree of `size` leaves, the nearest first.

    Raises ValueError for a leaf that the tree does not have.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} has no leaf {index}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _left_size(stop - start)
        if index < middle:
            path.append(range_root(middle, stop))
            stop = middle
        else:
            path.append(range_root(start, middle))
            start = middle
    return path[::-1]


def holds_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path leads from the leaf at this place to the root. False for whatever does not fit."""
    if not 0 <= index < size:
        return False
    node, first, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            return False
        if first & 1 or first == last:
            node = node_of(sibling, node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = node_of(node, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and node == root


def consistency_path(old: int, new: int, range_root: RangeRoot) -> list[bytes]:
    """What shows that a tree of `old` leaves is how a tree of `new` leaves began. Raises ValueError unless 0 < old <= new."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {old} cannot be how a tree of {new} began")
    path: list[bytes] = []
    start, stop, is_whole = 0, new, True
    while old < stop:
        middle = start + _left_size(stop - start)
        if old <= middle:
            path.append(range_root(middle, stop))
            stop = middle
        else:
            path.append(range_root(start, middle))
            start, is_whole = middle, False
    if not is_whole:
        path.append(range_root(start, stop))
    return path[::-1]


def holds_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the path shows that the tree with the new root began as the one with the old root."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    nodes = list(path)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not nodes:
        return False
    left = right = nodes.pop(0) if first else old_root
    for node in nodes:
        if last == 0:
            return False
        if first & 1 or first == last:
            left, right = node_of(node, left), node_of(node, right)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            right = node_of(right, node)
        first, last = first >> 1, last >> 1
    return last == 0 and left == old_root and right == new_root


def _left_size(size: int) -> int:
    """How many of these leaves are in the left subtree: the largest power of two that is smaller. `size` is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
