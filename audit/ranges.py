"""Verifying a long log by parts, on all processors: whether all is as it should be, without saying what is not.

Each part is read and hashed once, by itself; what joins two parts is compared afterwards. Whatever is not exactly as it
should be has the whole log looked at closely by `audit.verify`, which says what it is.
"""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from contextlib import closing
from dataclasses import dataclass
from dataclasses import field
from json.encoder import encode_basestring
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from audit import schema
from audit.errors import DATABASE_ERRORS
from audit.event import FIRST_PREVIOUS
from audit.event import FORMAT
from audit.event import is_written_at
from audit.tree import Frontier

LEVEL = 17
PART_EVENTS = 1 << LEVEL
"""A power of two, so that each part is a subtree of its own."""
SLICE_EVENTS = 4000

_ROWS = """
SELECT event.seq, id, at, kind, actor, project, environment, request, stream, place, commitment, previous, hash, salt, data,
       json_valid(data) AND json_type(data) = 'object'
FROM event LEFT JOIN payload ON payload.seq = event.seq
WHERE event.seq > ? AND event.seq <= ? ORDER BY event.seq LIMIT ?
"""


@dataclass
class Part:
    """What is known of the events behind `after`: that each is as it should be, and what it takes to join them to others.

    `places` are the first and last place of each stream; `at_sizes` the trees of this part at the sizes that were asked
    for; `without_payload` and `erased` are numbers of events.
    """

    after: int
    first_previous: str = ""
    first_at: str = ""
    last_hash: str = ""
    last_at: str = ""
    events: int = 0
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    tree: Frontier = field(default_factory=Frontier)
    at_sizes: dict[int, Frontier] = field(default_factory=dict)
    without_payload: list[int] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """A log in which all is as it should be: how many events, hash and time of the last, its tree, and the roots at the sizes
    asked for."""

    events: int
    head: str
    at: str
    tree: Frontier
    roots: dict[int, bytes]


_Job = tuple[Path, str, int, int, Sequence[int]]
"""The log's file and id, the numbers behind which and up to which, and the sizes whose trees are wanted."""


class NotAsItShouldBe(Exception):
    """Something is not, or cannot be told here."""


def verified_by_parts(
    path: Path,
    log_id: str,
    last: int,
    sizes: Sequence[int] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Whole | None:
    """The whole, where the events 1 to `last` are all as they should be; None: look closely.

    `progress` is told how many events of how many are done.
    """
    starts = range(0, last, PART_EVENTS)
    jobs = [(path, log_id, after, min(after + PART_EVENTS, last), sizes) for after in starts]
    joined = _Joined()
    try:
        for part in _parts(jobs):
            joined.add(part)
            progress(joined.events, last)
        return joined.whole()
    except (NotAsItShouldBe, OSError, *DATABASE_ERRORS):
        return None


def _parts(jobs: Sequence[_Job]) -> Iterator[Part]:
    count = min(len(jobs), os.cpu_count() or 1)
    if count < 2:
        yield from (part_of(*job) for job in jobs)
        return
    with ExitStack() as stack:
        # Not multiprocessing's processes: those run the program that asks a second time, which may be anybody's.
        workers: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(count):
            workers.put(stack.enter_context(closing(_Worker())))

        def done(job: _Job) -> Part:
            worker = workers.get()
            try:
                return worker.part_of(job)
            finally:
                workers.put(worker)

        with ThreadPoolExecutor(count, "verify") as threads:
            yield from threads.map(done, jobs)


class _Worker:
    """A process that takes parts, one after the other. Closed, it ends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from audit.ranges import work; work()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)},
        )

    def part_of(self, job: _Job) -> Part:
        """Raises NotAsItShouldBe, also when the process has ended."""
        ask, answers = self._process.stdin, self._process.stdout
        if ask is None or answers is None:  # cannot be: both were asked for
            raise NotAsItShouldBe
        try:
            pickle.dump(job, ask)
            ask.flush()
            found = pickle.load(answers)  # noqa: S301 (our own process)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            raise NotAsItShouldBe from error
        if not isinstance(found, Part):
            raise NotAsItShouldBe
        return found

    def close(self) -> None:
        self._process.kill()  # it only reads
        self._process.communicate()


def work() -> None:
    """What a worker's process does: a part for each job that comes in, None where one is not as it should be."""
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        try:
            job = pickle.load(asked)  # noqa: S301 (the process that began this one)
        except EOFError:
            return
        try:
            found = part_of(*job)
        except (NotAsItShouldBe, *DATABASE_ERRORS):
            found = None
        pickle.dump(found, answers)
        answers.flush()


def part_of(path: Path, log_id: str, after: int, until: int, sizes: Sequence[int]) -> Part:
    """The events behind `after` up to `until`, each checked by itself. Raises NotAsItShouldBe, DATABASE_ERRORS."""
    part = Part(after)
    wanted = sorted({size for size in sizes if after < size <= until})
    with closing(schema.connect_reader(path)) as connection:
        while after < until:
            rows = connection.execute(_ROWS, (after, until, SLICE_EVENTS)).fetchall()
            if not rows:
                raise NotAsItShouldBe
            try:
                leaves = _checked(rows, log_id, part)
            except (
                ValueError,
                TypeError,
                AttributeError,
                KeyError,
            ) as error:  # a row holds something else, or no plain text
                raise NotAsItShouldBe from error
            _grow(part, leaves, wanted)
            after = rows[-1][0]
    return part


def _checked(rows: Sequence[tuple[Any, ...]], log_id: str, part: Part) -> list[bytes]:
    """The hashes of these events, which are as they should be; the part goes on behind them.

    Written as one loop, since it is all that verifying a long log takes: nothing is called that need not be.
    """
    quoted, sha256, places = encode_basestring, hashlib.sha256, part.places
    tail, seq_before = f',"log":{quoted(log_id)},"place":', part.after + part.events
    previous_before, at_before = part.last_hash, part.last_at
    leaves: list[bytes] = []
    for seq, id_, at, kind, actor, project, environment, request, stream, place, commitment, previous, hash_, salt, data, is_object in rows:  # fmt: skip # noqa: E501 (a row as it lies; sixteen lines say no more)
        if seq != seq_before + 1 or (previous != previous_before and previous_before):
            raise NotAsItShouldBe
        if at != at_before and (at < at_before or not is_written_at(at)):
            raise NotAsItShouldBe
        body = (
            f'{{"actor":{quoted(actor)},"at":"{at}","commitment":"{commitment}"'
            f',"environment":{"null" if environment is None else quoted(environment)},"format":{FORMAT},"id":{quoted(id_)}'
            f',"kind":{quoted(kind)}{tail}{place:d},"previous":"{previous}"'
            f',"project":{"null" if project is None else quoted(project)}'
            f',"request":{"null" if request is None else quoted(request)},"seq":{seq:d},"stream":{quoted(stream)}}}'
        )
        digest = sha256(b"\x00" + body.encode()).digest()
        if digest.hex() != hash_ or "\\u0000" in body:
            raise NotAsItShouldBe
        leaves.append(digest)
        if stream in places:
            first, last = places[stream]
            if place != last + 1:
                raise NotAsItShouldBe
            places[stream] = (first, place)
        else:
            places[stream] = (place, place)
        if data is None:
            part.without_payload.append(seq)
        else:
            if (
                sha256(bytes.fromhex(salt) + data.encode()).hexdigest() != commitment
                or not is_object
                or "\\u0000" in data
            ):
                raise NotAsItShouldBe
            if kind == "erased":
                part.erased += [number for number in json.loads(data)["seqs"] if isinstance(number, int)]
        if not previous_before:
            part.first_previous, part.first_at = previous, at
        seq_before, previous_before, at_before = seq, hash_, at
    part.events += len(rows)
    part.last_hash, part.last_at = previous_before, at_before
    return leaves


def _grow(part: Part, leaves: Sequence[bytes], wanted: list[int]) -> None:
    """The part's tree with these leaves; it is kept at each of the sizes, which are taken off as they are reached."""
    done = 0
    while done < len(leaves):
        until = min(len(leaves), done + wanted[0] - part.after - part.tree.size) if wanted else len(leaves)
        part.tree = part.tree.extended(leaves[done:until])
        done = until
        if wanted and part.after + part.tree.size == wanted[0]:
            part.at_sizes[wanted.pop(0)] = part.tree


class _Joined:
    """Parts put together in order. Raises NotAsItShouldBe where one does not go on where the one before it ends."""

    def __init__(self) -> None:
        self.events = 0
        self._head = FIRST_PREVIOUS
        self._at = ""
        self._places: dict[str, int] = {}
        self._tree = Frontier()
        self._roots: dict[int, bytes] = {}
        self._gone: set[int] = set()
        self._erased: set[int] = set()

    def add(self, part: Part) -> None:
        if part.after != self.events or part.first_previous != self._head or part.first_at < self._at:
            raise NotAsItShouldBe
        for stream, (first, last) in part.places.items():
            if first != self._places.get(stream, 0) + 1:
                raise NotAsItShouldBe
            self._places[stream] = last
        for size, tree in part.at_sizes.items():
            self._roots[size] = self._tree.joined(tree).root()
        self._tree = self._tree.joined(part.tree)
        self.events += part.events
        self._head, self._at = part.last_hash, part.last_at
        self._gone.update(part.without_payload)
        self._erased.update(part.erased)

    def whole(self) -> Whole:
        if self._gone - self._erased:
            raise NotAsItShouldBe
        return Whole(self.events, self._head, self._at, self._tree, self._roots)
