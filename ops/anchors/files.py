"""A file on another disk, mount or host: one line of JSON for each checkpoint, only ever added to."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from audit import anchor_line
from ops.errors import OpsError
from ops.errors import Reason


@dataclass(frozen=True)
class FileAnchor:
    """The file is made where there is none, its folder is not. `chattr +a` on it keeps even its owner from rewriting it."""

    path: Path

    @property
    def where(self) -> str:
        return f"file:{self.path}"

    def publish(self, note: str, size: int, at: str) -> str:
        line = anchor_line(note, at).encode()
        try:
            # Opened for adding only, which is all that an append-only file allows; never through a link.
            descriptor = os.open(
                self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644
            )
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise OSError(0, "it is no ordinary file")
                if os.write(descriptor, line) != len(line):
                    raise OSError(0, "it was not written whole")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise OpsError(
                Reason.ANCHOR_FAILED,
                f"The checkpoint at {size} events cannot be written to {self.path}: {error.strerror}.",
                "Look at the file, its folder and its disk.",
                exit_code=1,
            ) from error
        return f"byte {found.st_size}"
