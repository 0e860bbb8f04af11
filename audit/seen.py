"""What was verified of a log, kept in a file, so that the next time begins where this one ended."""

import json
import os
from contextlib import suppress
from pathlib import Path

from audit.tree import Frontier
from audit.verify import Seen


def remembered(path: Path) -> Seen | None:
    """What the file says; None where there is none, or none that can be read: then all is read again."""
    try:
        found = json.loads(path.read_text())
        return Seen(str(found["log"]), Frontier.from_json(found["tree"]), str(found["head"]), str(found["at"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remember(path: Path, seen: Seen) -> None:
    """Keep it, where this user may; where not, the next time reads all."""
    kept = json.dumps({"log": seen.log_id, "tree": seen.tree.to_json(), "head": seen.head, "at": seen.at})
    unfinished = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
            file.write(kept)
        unfinished.rename(path)
