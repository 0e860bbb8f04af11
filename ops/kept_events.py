"""What a log needs of its old events when the rest of them is dropped. Whatever is not known to be needless stays.

Needless are two things: what is only told about (commands, answers, reads of the log), and whole requests that are over and
on which nothing that holds today rests. Never a part of a request: its events are folded together.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from audit import Query
from audit import View
from ops.backups import all_backups
from ops.debts import open_debts
from ops.half_done import HALF
from ops.half_done import WHOLE
from ops.holds import holds_in
from ops.requests import open_requests

TOLD = frozenset(
    {"commanded", "clicked", "answered", "refused", "queried", "exported", "bot_started", "bot_stopped", "planned"}
    | {"rehearsal_started", "rehearsed", "checkpoint_signed", "checkpoint_published", "checkpoint_unpublished"}
)
"""The kinds that nothing rests on but what people read, where they are about no request that stays."""
LASTING = frozenset({*HALF, "adopted", "recorded", "prior_copied", "debt_owed"})
"""A request with one of these stays: what it left on its target is asked about for as long as it is there."""
NOTED = frozenset({"state_noted", "changed_outside", "adopted"})
_REQUEST = re.compile(r"\bR-[1-9][0-9]*\b")


@dataclass
class _Request:
    """A request's events up to the cut, what its data names, and whether it stays."""

    seqs: list[int] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    stays: bool = False


class _Walk:
    """One walk over the whole log: what there is of each request, and the newest of each kind everywhere."""

    def __init__(self, cut: int) -> None:
        self.cut = cut
        self.requests: dict[str, _Request] = defaultdict(_Request)
        self.others: set[int] = set()
        self.names: set[str] = set()
        self.newest: dict[tuple[Any, ...], tuple[int, str | None]] = {}
        self.noted: dict[tuple[str, str], int] = {}
        self.on_target: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self.halves: set[str] = set()
        self.wholes: dict[str, set[str]] = defaultdict(set)

    def add(self, row: dict[str, Any]) -> None:
        seq, kind, request, data = row["seq"], row["kind"], row["request"], row["data"] or ""
        target = (row["project"], row["environment"])
        of_stream = () if row["stream"].startswith("request:") else ((kind, row["stream"]),)
        for about in ((kind,), (kind, *target), *of_stream):
            self.newest[about] = (seq, request)
        if kind in NOTED:
            self.noted[target] = seq
        if request is None:
            if seq <= self.cut and kind not in TOLD:
                self.others.add(seq)
            if kind not in TOLD:
                self.names.update(_REQUEST.findall(data))
            return
        found = self.requests[request]
        found.names.update(_REQUEST.findall(data))
        found.stays |= seq > self.cut or kind in LASTING
        self.on_target[target][request] = seq
        if seq <= self.cut:
            found.seqs.append(seq)
        self._versions(kind, request, data)

    def _versions(self, kind: str, request: str, data: str) -> None:
        """A half of a file is one until something is done about the whole of it: the one stays with the other."""
        if kind in HALF or kind in WHOLE:
            said = json.loads(data or "{}")
            if kind in WHOLE:
                self.wholes[str(said.get("version"))].add(request)
            else:
                self.halves.update(map(str, [said.get("within"), *said.get("unknown", ())]))

    def stay(self, names: Iterable[str]) -> None:
        """Has these requests stay, and whatever they name."""
        left = [name for name in names if name in self.requests]
        seen: set[str] = set()
        while left:
            name = left.pop()
            if name not in seen:
                seen.add(name)
                self.requests[name].stays = True
                left += [other for other in self.requests[name].names if other in self.requests]


def needed_seqs(view: View, cut: int) -> set[int]:
    """The numbers of the events up to `cut` that a log which begins behind it still needs. Reads all of it."""
    walk = _Walk(cut)
    for row in view.rows(Query()):
        walk.add(row)
    newest = {(seq, request) for seq, request in walk.newest.values()}
    walk.stay(
        {
            *(name for name, one in walk.requests.items() if one.stays),
            *(one.id for one in open_requests(view)),
            *(one.request for one in open_debts(view)),
            *(one.request for one in all_backups(view) if one.request and not one.is_removed),
            *holds_in(view),
            *(request for _, request in newest if request),
            *walk.names,
            *(name for version in walk.halves for name in walk.wholes[version]),
            *(
                name
                for target, noted in walk.noted.items()
                for name, last in walk.on_target[target].items()
                if last >= noted
            ),
            *_highest(walk.requests),
        }
    )
    seqs = {seq for one in walk.requests.values() if one.stays for seq in one.seqs}
    return walk.others | seqs | {seq for seq, request in newest if seq <= cut and request is None}


def _highest(requests: Iterable[str]) -> list[str]:
    """The newest request: the next one's number follows it."""
    numbers = [int(one.removeprefix("R-")) for one in requests if _REQUEST.fullmatch(one)]
    return [f"R-{max(numbers)}"] if numbers else []
