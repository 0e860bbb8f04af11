"""Taking old events out of a log: a file without them is made beside it, and takes its place when it is whole."""

import json
from collections.abc import Callable
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from audit import schema
from audit.base import Base
from audit.erasing import forget_beside
from audit.lock import log_held
from audit.parts import LIVE
from audit.parts import Part
from audit.parts import unwatched
from audit.parts import write_part
from audit.proofs import Roots
from audit.proofs import inclusion_paths
from audit.view import Reader
from audit.view import View


def trim(
    path: Path, base: Base, needed: Callable[[View], Collection[int]], *, crashpoint: Callable[[str], None] = unwatched
) -> int:
    """Takes the events up to `base` out of a log, but for those that `needed` says of it, which stay with their proofs;
    returns how many those are. The log must say that they are dropped, and be closed: nobody may have it open to read either.

    The log is as it was, or without them, whatever ends this. Raises NoLog, LogBusy, LogDamaged (also when somebody reads it)
    and LogUnavailable.
    """
    with log_held(path) as file:
        with closing(schema.connect_writer(file)) as writer:
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        forget_beside(file)  # what ends this behind the renaming leaves no words of what is gone
        view = Reader(file, leaves_no_trace=True)
        paths = inclusion_paths(Roots(view, base.seq), needed(view))
        carried = {seq: json.dumps([one.hex() for one in hashes]) for seq, hashes in paths.items()}
        write_part(file, file, Part(base, view.size(), carried), mode=LIVE, crashpoint=crashpoint)
        forget_beside(file)
        return len(carried)
