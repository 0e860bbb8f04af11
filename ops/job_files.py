"""The deploy jobs that stand in a repository beside the project: files outside the supabase folder, read as data only."""

from collections.abc import Sequence

from ops.errors import OpsError
from ops.errors import Reason
from ops.git import Objects
from ops.git import clean_environment
from ops.git import run_git
from ops.repository import Repository

MOST_FILES = 50
FILE_BYTES = 512 * 1024
_PLAIN_FILES = frozenset({"100644", "100755"})


def read_job_files(repository: Repository, commit: str, places: Sequence[str]) -> dict[str, bytes]:
    """What is in these files of a commit, by path; a place that ends in / stands for the files in that folder.

    Links, sub-folders and what is larger than a job ever is are left out. Raises OpsError when the mirror cannot be read.
    """
    code, listed, _ = run_git(
        repository.mirror,
        ["ls-tree", "-z", "--full-tree", "--end-of-options", commit, "--", *places],
        environment=clean_environment({"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}),
        timeout_seconds=repository.timeout_seconds,
    )
    if code != 0:
        raise OpsError(Reason.REPOSITORY_UNAVAILABLE, "The mirror of the repository cannot be read.", "Update it.")
    files: dict[str, bytes] = {}
    with Objects(repository.mirror, timeout_seconds=repository.timeout_seconds) as objects:
        for entry in listed.split(b"\0")[:MOST_FILES]:
            about, _, path = entry.partition(b"\t")
            mode, _, sha = about.decode(errors="replace").partition(" blob ")
            if mode not in _PLAIN_FILES:
                continue
            name = path.decode(errors="replace")
            try:
                files[name] = objects.read(sha, "blob", what=name, limit_bytes=FILE_BYTES)
            except OpsError as error:
                if error.reason is not Reason.REPOSITORY_REFUSED:
                    raise
    return files
