"""Comparing a log with its anchors while it is walked: which of them holds, and between which two it was changed."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from audit.anchors import Anchor
from audit.tree import Frontier


class Anchored:
    """Takes the hashes of events in order and compares the tree with each anchor at its size."""

    def __init__(self, anchors: Sequence[Anchor], start: Frontier | None = None) -> None:
        self.frontier = start or Frontier()
        self.events = self.frontier.size
        self.held: Anchor | None = None
        """The largest anchor that holds so far; behind it nothing is proven."""
        self._left = [one for one in anchors if one.checkpoint.size >= self.frontier.size]
        self._broken: list[Anchor] = []
        self._compare()

    def add(self, leaves: Sequence[bytes]) -> None:
        """The hashes of the events that follow, 32 bytes each."""
        done = 0
        while done < len(leaves):
            until = len(leaves)
            if self._left:
                until = min(until, done + max(self._left[0].checkpoint.size - self.frontier.size, 0))
            self.frontier = self.frontier.extended(leaves[done:until])
            done = until
            self._compare()

    def know(self, events: int, roots: Mapping[int, bytes]) -> None:
        """The log has so many events and these roots at the anchors' sizes, worked out elsewhere."""
        while self._left and self._left[0].checkpoint.size <= events:
            anchor = self._left.pop(0)
            self._judge(anchor, roots.get(anchor.checkpoint.size))
        self.events = events

    def _compare(self) -> None:
        self.events = self.frontier.size
        while self._left and self._left[0].checkpoint.size <= self.frontier.size:
            anchor = self._left.pop(0)
            self._judge(anchor, self.frontier.root() if anchor.checkpoint.size == self.frontier.size else None)

    def _judge(self, anchor: Anchor, root: bytes | None) -> None:
        if root != anchor.checkpoint.root:
            self._broken.append(anchor)
        elif not self._broken:
            self.held = anchor

    def problems(self) -> Iterator[tuple[str, str]]:
        """What does not hold, as code and sentence; at the end of the log."""
        if self._broken:
            first = self._broken[0]
            after = self.held.checkpoint.size if self.held else 0
            since = f"{_said(self.held)} still holds" if self.held else "no anchor before it holds"
            yield (
                "anchor",
                f"Events {after + 1} to {first.checkpoint.size} are not those that were signed: {_said(first)} does not "
                f"hold, {since}. Among them an event was changed, taken out, put in or moved"
                f"{', after ' + first.at if first.at else ''}.",
            )
            if others := len(self._broken) - 1:
                yield "anchor", f"{others} later anchor{'s do' if others > 1 else ' does'} not hold either."
        if self._left:
            last = self._left[-1]
            yield (
                "anchor_ahead",
                f"The log ends at event {self.events}, but {_said(last)} says that there were "
                f"{last.checkpoint.size}: {last.checkpoint.size - self.events} events at its end are gone, or this is "
                "an older copy.",
            )


def _said(anchor: Anchor | None) -> str:
    if anchor is None:
        return ""
    return f"the anchor at {anchor.checkpoint.size} ({anchor.where}{', ' + anchor.at if anchor.at else ''})"
