"""What a deployment would change of a project's functions: created, changed, removed, or as it is."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from typing import Any

from ops.supabase.function_places import as_seen_from
from ops.supabase.function_places import file_named
from ops.supabase.function_source import FunctionSource
from ops.supabase.function_source import plain_path
from ops.supabase.function_source import shape_of
from ops.supabase.models import Function
from ops.supabase.models import FunctionBody
from ops.supabase.static_patterns import is_static


class Change(StrEnum):
    """What becomes of a function. `left` is on the project, not in the commit, and stays, for nobody said `prune`."""

    CREATED = "created"
    CHANGED = "changed"
    REMOVED = "removed"
    LEFT = "left"
    UNCHANGED = "unchanged"


ACTS = (Change.CREATED, Change.CHANGED, Change.REMOVED)
"""The changes that do something."""


@dataclass(frozen=True)
class FunctionChange:
    """One function of a plan. `sha256` and `files` are of what would be deployed, empty for what is not in the commit.

    `verify_jwt`: whether it will ask for a token. `running`: what runs now, None where nothing does.
    """

    slug: str
    change: Change
    sha256: str
    verify_jwt: bool
    files: Mapping[str, str]
    running: Function | None
    source: FunctionSource | None = field(default=None, compare=False, repr=False)
    kept: str = ""
    """Not empty: it is what was kept under this hash, and not a commit's."""

    @property
    def acts(self) -> bool:
        return self.change in ACTS

    def to_json(self) -> dict[str, Any]:
        """As it is hashed, approved and printed; `running` is what it is to be put in place of."""
        return {
            "slug": self.slug,
            "change": self.change.value,
            "sha256": self.sha256,
            "verify_jwt": self.verify_jwt,
            "files": dict(self.files),
            "running": running_json(self.running),
            **({"kept": self.kept} if self.kept else {}),
        }


def running_json(running: Function | None) -> dict[str, Any] | None:
    """What tells this version from all others of its function."""
    if running is None:
        return None
    return {
        "id": running.id,
        "version": running.version,
        "ezbr_sha256": running.ezbr_sha256,
        "verify_jwt": asks_for_token(running),
    }


def asks_for_token(running: Function | None) -> bool:
    """Whether a function lets only calls with a token in, which it does unless it was told otherwise."""
    return running is None or running.verify_jwt is not False


def live(running: Sequence[Function]) -> dict[str, Function]:
    """The functions that run, by name."""
    return {one.slug: one for one in running if one.status != "REMOVED"}


def changes_of(
    sources: Sequence[FunctionSource], running: Mapping[str, Function], same: Mapping[str, bool], *, prune: bool
) -> tuple[FunctionChange, ...]:
    """What deploying these would change. `same`: whether what runs has the very files of the source, by name."""
    found = [_change(source, running.get(source.slug), same.get(source.slug, False)) for source in sources]
    named = {source.slug for source in sources}
    for slug, function in sorted(running.items()):
        if slug not in named:
            change = Change.REMOVED if prune else Change.LEFT
            found.append(FunctionChange(slug, change, "", asks_for_token(function), {}, function))
    return tuple(found)


def _change(source: FunctionSource, running: Function | None, is_same: bool) -> FunctionChange:
    asked = asks_for_token(running) if source.verify_jwt is None else source.verify_jwt
    change = Change.CREATED if running is None else Change.CHANGED
    if running is not None and is_same and asked == asks_for_token(running):
        change = Change.UNCHANGED
    return FunctionChange(
        source.slug, change, source.sha256, asked, shape_of(source.entrypoint, source.files), running, source
    )


def is_body_of(body: FunctionBody, source: FunctionSource) -> bool:
    """Whether a downloaded body is this source: every file, by its place and its bytes. Doubt is a no."""
    return _entry_of(body, source) != "" and not _differs(body, source, may_lack=())


def contradicts(body: FunctionBody, source: FunctionSource) -> str:
    """What of a downloaded body is not as it was uploaded, in words; empty: nothing. Static files alone may be missing, for
    whether they come back is not promised."""
    if not _entry_of(body, source):
        return f"the entry {source.entrypoint.rsplit('/', 1)[-1]} does not come back"
    return _differs(body, source, may_lack=source.static_patterns)


def metadata_contradicts(running: Function, source: FunctionSource) -> str:
    """What the platform says of a function that is not how this source is deployed, in words; empty: nothing. Its patterns
    of static files are never told."""
    if running.import_map is not None and running.import_map != bool(source.import_map):
        return "it has an import map, which it is not to have" if running.import_map else "its import map is missing"
    if source.import_map and running.import_map_path and running.entrypoint_path:
        there = as_seen_from(running.entrypoint_path, running.import_map_path)
        if there != as_seen_from(source.entrypoint, source.import_map):
            return f"its import map is {there}"
    return ""


def _entry_of(body: FunctionBody, source: FunctionSource) -> str:
    """The file of a body that is its entry, where that is named as the source's is; else empty."""
    paths = {plain_path(one.path) for one in body.files}
    found = file_named(entrypoint_of(body) or source.entrypoint, paths)
    return found if found.rsplit("/", 1)[-1] == source.entrypoint.rsplit("/", 1)[-1] and found in paths else ""


def _differs(body: FunctionBody, source: FunctionSource, *, may_lack: Sequence[str]) -> str:
    there = shape_of(_entry_of(body, source), body.files)
    ours = shape_of(source.entrypoint, source.files)
    odd = sorted(path for path, sha256 in there.items() if ours.get(path) != sha256)
    if odd:
        return f"{odd[0]} is {'not what' if odd[0] in ours else 'there, and not of what'} was uploaded"
    path_of = {as_seen_from(source.entrypoint, one.path): one.path for one in source.files}
    lacks = sorted(path for path in ours if path not in there and not is_static(may_lack, path_of[path]))
    return f"{lacks[0]} does not come back" if lacks else ""


def entrypoint_of(body: FunctionBody) -> str:
    """The entry as the platform names it; empty where it does not."""
    named = body.metadata.get("deno2_entrypoint_path") or body.metadata.get("entrypoint_path") or ""
    return str(named)
