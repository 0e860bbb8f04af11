"""What somebody with the log's file, and all the time in the world, may do to it: each a function of the file and chance.

They know the format, so they take the guards away and put them back, and compute hashes anew where that helps them. What
they cannot reach is where the anchors lie.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from audit.event import FIRST_PREVIOUS
from audit.event import HASHED
from audit.event import commitment_of
from audit.event import hash_of

Row = dict[str, Any]
Tamper = Callable[[Path, Random], None]


def chance_of(seed: str) -> Random:
    return Random(seed)  # noqa: S311 (the same trial each time; nothing here is secret)


def rows_of(connection: sqlite3.Connection) -> list[Row]:
    names = [*HASHED, "hash", "salt", "data"]
    sql = f"SELECT {', '.join('event.' + one for one in [*HASHED, 'hash'])}, salt, data FROM event JOIN payload USING (seq)"
    return [dict(zip(names, row, strict=True)) for row in connection.execute(f"{sql} ORDER BY event.seq")]


class Opened:
    """The file without its guards; they are back when it is closed."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self._guards = self.connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        self.connection.execute("PRAGMA ignore_check_constraints = 1")
        for name, _ in self._guards:
            self.connection.execute(f"DROP TRIGGER {name}")

    def __enter__(self) -> sqlite3.Connection:
        return self.connection

    def __exit__(self, *_: object) -> None:
        for _, sql in self._guards:
            self.connection.execute(sql)
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()


def write_all(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """The log holds exactly these rows, numbered and chained anew: places, commitments and hashes all fit."""
    log_id = connection.execute("SELECT id FROM log").fetchone()[0]
    connection.execute("BEGIN")
    connection.execute("DELETE FROM payload")
    connection.execute("DELETE FROM event")
    previous = FIRST_PREVIOUS
    places: dict[str, int] = {}
    for seq, row in enumerate(rows, 1):
        places[row["stream"]] = places.get(row["stream"], 0) + 1
        made = row | {"seq": seq, "previous": previous, "place": places[row["stream"]]}
        made["commitment"] = commitment_of(row["salt"], row["data"])
        previous = hash_of(log_id, made)
        connection.execute(
            f"INSERT INTO event ({', '.join(HASHED)}, hash) VALUES ({', '.join('?' * (len(HASHED) + 1))})",
            [*(made[name] for name in HASHED), previous],
        )
        connection.execute("INSERT INTO payload VALUES (?, ?, ?)", (seq, row["salt"], row["data"]))
    connection.execute("COMMIT")


def rewritten(path: Path, change: Callable[[list[Row]], list[Row] | None]) -> None:
    with Opened(path) as connection:
        rows = rows_of(connection)
        write_all(connection, change(rows) or rows)


def edited(row: Row) -> None:
    row["data"] = json.dumps(
        {**json.loads(row["data"]), "text": "nothing to see"}, sort_keys=True, separators=(",", ":")
    )


def edit_data(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        seq = chance.randint(1, len(rows_of(connection)))
        connection.execute("UPDATE payload SET data = replace(data, 'text', 'tent') WHERE seq = ?", (seq,))


def flip_a_bit_of_data(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        row = chance.choice(rows_of(connection))
        place = chance.randint(1, len(row["data"]) - 2)
        flipped = chr(ord(row["data"][place]) ^ 1)
        data = row["data"][:place] + flipped + row["data"][place + 1 :]
        connection.execute("UPDATE payload SET data = ? WHERE seq = ?", (data, row["seq"]))


def edit_data_and_commitment(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        row = chance.choice(rows_of(connection))
        edited(row)
        commitment = commitment_of(row["salt"], row["data"])
        connection.execute("UPDATE payload SET data = ? WHERE seq = ?", (row["data"], row["seq"]))
        connection.execute("UPDATE event SET commitment = ? WHERE seq = ?", (commitment, row["seq"]))


def edit_with_its_own_hash(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        rows = rows_of(connection)
        row = chance.choice(rows[:-1])
        row["actor"] = "slack:T0ACME/U0EVE"
        hashed = hash_of(connection.execute("SELECT id FROM log").fetchone()[0], row)
        connection.execute("UPDATE event SET actor = ?, hash = ? WHERE seq = ?", (row["actor"], hashed, row["seq"]))


def edit_and_chain_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        edited(chance.choice(rows))

    rewritten(path, change)


def other_actor_and_chain_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        chance.choice(rows)["actor"] = "slack:T0ACME/U0EVE"

    rewritten(path, change)


def backdate_and_chain_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        number = chance.randint(1, len(rows))
        for row in rows[:number]:
            row["at"] = "2020" + row["at"][4:]

    rewritten(path, change)


def delete_one(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        seq = chance.randint(1, len(rows_of(connection)) - 1)
        connection.execute("DELETE FROM payload WHERE seq = ?", (seq,))
        connection.execute("DELETE FROM event WHERE seq = ?", (seq,))


def delete_one_and_chain_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        del rows[chance.randrange(len(rows) - 1)]

    rewritten(path, change)


def cut_the_end(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> list[Row]:
        return rows[: chance.randint(1, len(rows) - 1)]

    rewritten(path, change)


def cut_the_end_and_make_another(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        for row in rows[chance.randint(1, len(rows) - 2) :]:
            edited(row)

    rewritten(path, change)


def swap_two_and_chain_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        one, two = chance.sample(range(len(rows)), 2)
        for name in ("kind", "actor", "id", "salt", "data"):
            rows[one][name], rows[two][name] = rows[two][name], rows[one][name]

    rewritten(path, change)


def swap_two_payloads(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        one, two = chance.sample(rows_of(connection), 2)
        for row, other in ((one, two), (two, one)):
            connection.execute("UPDATE payload SET data = ? WHERE seq = ?", (other["data"], row["seq"]))


def put_one_in_and_chain_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        number = chance.randrange(len(rows) - 1)
        more = rows[number] | {"id": "made-up", "actor": "slack:T0ACME/U0EVE"}
        rows.insert(number + 1, more)

    rewritten(path, change)


def an_older_copy(path: Path, chance: Random) -> None:
    older = chance.choice(sorted(path.parent.glob("older-*.db")))
    shutil.copy(older, path)


def made_anew(path: Path, chance: Random) -> None:
    def change(rows: list[Row]) -> None:
        for row in rows:
            row["salt"] = f"{chance.getrandbits(128):032x}"
            edited(row)

    rewritten(path, change)


def another_log(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        rows = rows_of(connection)
        connection.execute("UPDATE log SET id = ?", (f"{chance.getrandbits(128):032x}",))
        write_all(connection, rows)


def hide_from_an_index(path: Path, chance: Random) -> None:
    """The row is there and hashes well, but whoever asks by kind does not see it."""
    with Opened(path) as connection:
        seq = chance.randint(1, len(rows_of(connection)))
        sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'event_kind'").fetchone()[0]
        connection.execute("DROP INDEX event_kind")
        connection.execute(f"{sql} WHERE seq <> {seq}")
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'event_kind'", (sql,))


def a_view_that_filters(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'events'").fetchone()[0]
        connection.execute("DROP VIEW events")
        connection.execute(f"{sql} WHERE event.seq <> {chance.randint(1, 40)}")


def take_a_guard_away(path: Path, chance: Random) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        connection.execute(f"DROP TRIGGER {chance.choice(sorted(names))}")


def erase_without_a_record(path: Path, chance: Random) -> None:
    with Opened(path) as connection:
        connection.execute("DELETE FROM payload WHERE seq = ?", (chance.randint(1, len(rows_of(connection))),))


KINDS: Mapping[str, Tamper] = {
    made.__name__: made
    for made in (
        edit_data,
        flip_a_bit_of_data,
        edit_data_and_commitment,
        edit_with_its_own_hash,
        edit_and_chain_anew,
        other_actor_and_chain_anew,
        backdate_and_chain_anew,
        delete_one,
        delete_one_and_chain_anew,
        cut_the_end,
        cut_the_end_and_make_another,
        swap_two_and_chain_anew,
        swap_two_payloads,
        put_one_in_and_chain_anew,
        an_older_copy,
        made_anew,
        another_log,
        hide_from_an_index,
        a_view_that_filters,
        take_a_guard_away,
        erase_without_a_record,
    )
}
NEEDS_ANCHORS = frozenset(
    {
        "edit_and_chain_anew",
        "other_actor_and_chain_anew",
        "backdate_and_chain_anew",
        "delete_one_and_chain_anew",
        "cut_the_end",
        "cut_the_end_and_make_another",
        "swap_two_and_chain_anew",
        "put_one_in_and_chain_anew",
        "an_older_copy",
        "made_anew",
        "another_log",
    }
)
"""What no look at the file alone can show."""
