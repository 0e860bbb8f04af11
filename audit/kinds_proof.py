"""What proves the log to somebody else: the data of checkpoints, keys and what becomes of old events."""

from audit.data import Data


class CheckpointSigned(Data):
    """The first `size` events, with this `root` (hex), were signed; `note` is what was signed and by whom. It is written down
    before it is put anywhere. `because`: "interval", "run", "asked", "evidence" or "stop"."""

    size: int
    root: str
    note: str
    because: str


class CheckpointPublished(Data):
    """The checkpoint of so many events lies where the log's owner cannot rewrite it; `ref` is what finds it there."""

    size: int
    where: str
    ref: str


class CheckpointUnpublished(Data):
    """The checkpoint could not be put there; it is tried again with the next one. `because` is one sentence."""

    size: int
    where: str
    because: str


class KeyMade(Data):
    """A key signs checkpoints from now on: its public half. `previous` is the key that it takes the place of, empty for the
    first; both sign until `previous` is retired."""

    key: str
    previous: str = ""


class KeyRetired(Data):
    """This key, its public half, signs no more. What it signed counts as before."""

    key: str
    because: str = ""


class SegmentSealed(Data):
    """The events of a month (`2026-10`) lie in a sealed file, too: from and to which, where chain and tree end there (hex;
    `tree` are the frontier's hashes), and the file's SHA-256. `because`: "month", "again" or "erased"; the newest of a month
    counts."""

    month: str
    first_seq: int
    last_seq: int
    head: str
    at: str
    root: str
    tree: list[str]
    sha256: str
    size: int
    because: str


class Archived(Data):
    """Sealed segments were put into one file; `sha256` is the archive's, `months` what is in it."""

    file: str
    sha256: str
    months: list[str]


class ArchiveRestored(Data):
    """An archive was taken apart again, and each segment of it held."""

    file: str
    sha256: str
    months: list[str]
    folder: str


class BackedUp(Data):
    """A copy of the whole log was made while it was in use, and held: how many events, and the hash of the last."""

    file: str
    sha256: str
    size: int
    head: str


class Held(Data):
    """Nothing of this may be erased or dropped until it is released: a request (`R-7`), a month (`2026-10`), or `all`."""

    what: str
    because: str


class Released(Data):
    """What was held is held no more."""

    what: str
    because: str


class ErasureAsked(Data):
    """Somebody wants the text of these events deleted; somebody else has to agree. `about` says in words what it was."""

    seqs: list[int]
    about: str
    because: str


class DropBegan(Data):
    """The events up to `last_seq` are about to be taken out of the log, but for those that are needed on; the tree had this
    root there. `months` are the sealed segments that go, with their SHA-256."""

    before: str
    last_seq: int
    root: str
    months: dict[str, str]
    because: str


class Dropped(Data):
    """The events up to `last_seq` are gone from the log and from its segments. `carried` is the SHA-256 of which stayed, and
    of where the streams were, so that none of those goes unnoticed."""

    last_seq: int
    months: list[str]
    carried: str
