"""Where checkpoints are put so that the log's owner cannot rewrite them. A new place is one module and a line here."""

from collections.abc import Sequence

from ops.anchors.files import FileAnchor
from ops.anchors.git import GitAnchor
from ops.anchors.place import Publisher
from ops.anchors.web import WebAnchor
from ops.settings import Settings


def publishers_of(settings: Settings) -> Sequence[Publisher]:
    """The configured places, but for Slack channels, which are the bot's to write to."""
    found: list[Publisher] = []
    for place in settings.audit.anchors:
        if place.file is not None:
            found.append(FileAnchor(settings.path(place.file)))
        elif place.url is not None:
            found.append(WebAnchor(place.url, place.headers, settings.folder))
        elif place.git is not None:
            found.append(GitAnchor(place.git, settings.path(settings.state.path).parent / "anchors.git"))
    return found
