"""The tree over a log's events: against the definition in RFC 6962, and its proofs against every change of them."""

import hashlib

import pytest

from audit.tree import EMPTY_ROOT
from audit.tree import Frontier
from audit.tree import consistency_path
from audit.tree import holds_consistency
from audit.tree import holds_inclusion
from audit.tree import inclusion_path
from audit.tree import range_root_of
from audit.tree import root_of

LEAVES = [hashlib.sha256(bytes([0, number])).digest() for number in range(70)]


def defined(leaves: list[bytes]) -> bytes:
    """The root as section 2.1 defines it, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + defined(leaves[:split]) + defined(leaves[split:])).digest()


def test_root_is_as_the_rfc_defines_it() -> None:
    for size in range(len(LEAVES) + 1):
        assert root_of(LEAVES[:size]) == defined(LEAVES[:size])


def test_known_roots() -> None:
    """Worked out with other code: the trees over the leaves of RFC 6962 implementations' usual first inputs."""
    leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(text)).digest() for text in ("", "00", "10", "2021", "3031")]
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert root_of(leaves[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert root_of(leaves[:2]).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert root_of(leaves[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"


def test_a_frontier_goes_on_where_it_ended() -> None:
    for size in range(len(LEAVES)):
        half = Frontier().extended(LEAVES[:size])
        kept = Frontier.from_json(half.to_json())
        assert kept.extended(LEAVES[size:]).root() == root_of(LEAVES)
        assert len(half.hashes) == size.bit_count()


@pytest.mark.parametrize(
    "found",
    [None, {}, {"size": 1, "hashes": []}, {"size": -1, "hashes": []}, {"size": True, "hashes": ["00" * 32]},
     {"size": 1, "hashes": ["00"]}, {"size": 1, "hashes": ["zz"]}, {"size": 1, "hashes": 7}],
)  # fmt: skip
def test_what_is_no_frontier_is_refused(found: object) -> None:
    with pytest.raises(ValueError, match="no frontier"):
        Frontier.from_json(found)


def test_inclusion_of_every_leaf_in_every_tree() -> None:
    for size in range(1, 34):
        root, ranges = root_of(LEAVES[:size]), range_root_of(LEAVES[:size])
        for index in range(size):
            path = inclusion_path(index, size, ranges)
            assert holds_inclusion(LEAVES[index], index, size, path, root)
            assert not holds_inclusion(LEAVES[-1], index, size, path, root)
            assert not holds_inclusion(LEAVES[index], index, size, [*path, LEAVES[0]], root)
            assert not any(
                holds_inclusion(LEAVES[index], other, size, path, root) for other in range(size) if other != index
            )
            assert not path or not holds_inclusion(LEAVES[index], index, size, path[:-1], root)


def test_consistency_of_every_two_trees() -> None:
    for new in range(1, 34):
        root, ranges = root_of(LEAVES[:new]), range_root_of(LEAVES[:new])
        for old in range(1, new + 1):
            began = root_of(LEAVES[:old])
            path = consistency_path(old, new, ranges)
            assert holds_consistency(old, began, new, root, path)
            other = LEAVES[:old]
            other[new * 31 % old] = LEAVES[-1]
            assert not holds_consistency(old, root_of(other), new, root, path)
            assert not holds_consistency(old, began, new, LEAVES[-1], path)
            if old < new:
                assert not holds_consistency(old, began, new, root, path[:-1])
            if old not in {1, new}:
                assert not holds_consistency(old - 1, root_of(LEAVES[: old - 1]), new, root, path) or path == (
                    consistency_path(old - 1, new, ranges)
                )


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 4), (4, 4)])
def test_a_leaf_that_is_not_there_has_no_path(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_path(index, size, range_root_of(LEAVES))
    assert not holds_inclusion(LEAVES[0], index, size, [], LEAVES[0])
