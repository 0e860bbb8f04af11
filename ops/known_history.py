"""The history that a target had when it was looked at last, known again by its hash: so a long one is not sent again."""

from typing import TYPE_CHECKING
from typing import NamedTuple

from ops.history import HistoryRow
from ops.history import hash_on_server
from ops.history import history_sha256
from ops.history import read_history

if TYPE_CHECKING:
    from ops.database import Connection


class History(NamedTuple):
    """The rows, as `read_history` gives them, and `history_sha256` of them."""

    rows: tuple[HistoryRow, ...]
    sha256: str


_LAST: dict[tuple[str, int, str], History] = {}
_MOST_LAST = 64


def read_known_history(connection: "Connection") -> History:
    """The target's history as it is now. Reads only. Raises psycopg.Error.

    Only where this process has seen one before is the server asked to tell the hash alone. It is the hash of every version,
    name and statement that there is, so whatever was changed has all of it sent.
    """
    place = (connection.info.host, connection.info.port, connection.info.dbname)
    last = _LAST.get(place)
    if last is not None and hash_on_server(connection) == last.sha256:
        return last
    rows = read_history(connection)
    known = History(rows, history_sha256(rows))
    if len(_LAST) >= _MOST_LAST:
        _LAST.clear()
    _LAST[place] = known
    return known
