"""Whether prior copies hold what files took away, thing by thing."""

import re
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ops.migration import Migration
from ops.prior.touching import Touch
from ops.prior.touching import What
from ops.prior.touching import touches
from ops.undo.contents import Table
from ops.undo.lasting import Lasting

_PART = re.compile(r'"((?:[^"]|"")*)"')


def kept_by_copies(
    files: Sequence[Migration], shown: Mapping[str, Mapping[str, Any]], covered: Collection[tuple[str, int]]
) -> Callable[[Lasting], bool]:
    """Tells whether a thing is among what was copied for these statements (version, index), all of it. `shown` is what the
    rehearsal showed of the files, by version.

    A table that is meant without its schema counts only as one of `public`.
    """
    touched = {
        (file.version, index): found
        for file in files
        for index, found in touches(file, shown.get(file.version)).items()
        if (file.version, index) in covered
    }

    def is_kept(one: Lasting) -> bool:
        places = touched.keys() if one.place is None else {one.place} & touched.keys()
        return one.table is not None and any(
            _holds(touch, one, one.table) for place in places for touch in touched[place]
        )

    return is_kept


def _holds(touch: Touch, one: Lasting, table: Table) -> bool:
    if touch.what != one.what or table != _meant(touch):
        return False
    return touch.what is not What.COLUMN or set(one.columns) <= set(touch.columns)


def _meant(touch: Touch) -> Table:
    if touch.by_name:
        schema, _, name = touch.relation.partition(".")
    else:
        *schemas, name = (part.replace('""', '"') for part in _PART.findall(touch.relation))
        schema = schemas[-1] if schemas else "public"
    return schema, name
