"""What proves the log to somebody else: the data of checkpoints, keys and what becomes of old events."""

from audit.data import Data


class CheckpointSigned(Data):
    """The first `size` events, with this `root` (hex), were signed; `note` is what was signed and by whom. It is written down
    before it is put anywhere. `because`: "interval", "run", "asked", "start" or "stop"."""

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
