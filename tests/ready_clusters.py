"""Throw-away clusters begin as copies of one that initdb made once for all tests: a third of a second less for each.

What is kept, and how a copy of it gets a password of its own, is the product's way of beginning a rehearsal.
"""

import os
from pathlib import Path
from typing import Any

from ops.scratch import Scratch

CHOSEN = "COUNTERSIGN_TEST_FOLDER"
"""The folder of tests in memory, where there is one; set for the processes that this one starts, so that one run has one."""

_made = Scratch.__init__


def begin_with_copies() -> None:
    """From here on, in this process; where tests have no folder in memory, all stays as it is."""
    folder = os.environ.get(CHOSEN)
    if folder is None:
        return
    ready = Path(folder) / "ready-clusters"

    def made(scratch: Scratch, *arguments: Any, **settings: Any) -> None:
        _made(scratch, *arguments, **{**settings, "template": ready})

    Scratch.__init__ = made  # type: ignore[assignment,method-assign]


def begin_as_told() -> None:
    """As the product does: a new cluster where no folder of kept ones is named."""
    Scratch.__init__ = _made  # type: ignore[method-assign]
