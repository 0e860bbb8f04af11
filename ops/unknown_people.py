"""Who is named by the commits of migrations and is nobody that [people] knows: they are barred from nothing."""

from contextlib import suppress

from ops.errors import OpsError
from ops.layer import project_repository
from ops.repository import Author
from ops.settings import Settings
from ops.targets import all_targets


def unknown_people(settings: Settings) -> tuple[Author, ...]:
    """Authors, committers and co-authors of the migrations on every configured branch whom [people] does not know, sorted.

    A repository that cannot be read is left out.
    """
    found: set[Author] = set()
    for target in all_targets(settings):
        with suppress(OpsError):
            repository = project_repository(settings, target)
            repository.update()
            commit = repository.resolve(target.settings.branch)
            paths = [path for path in repository.listing(commit).blobs if path.startswith("migrations/")]
            found |= set(repository.authors(commit, None, paths))
    return tuple(sorted(one for one in found if settings.known_author(one.email) is None))
