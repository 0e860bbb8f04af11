"""Rules about functions that would be deployed: who may call them, what stands in their files, and what is taken away."""

from collections.abc import Iterator
from collections.abc import Sequence
from itertools import islice

from ops.hazards.finding import hazard_of
from ops.hazards.finding import in_order
from ops.hazards.foreign import foreign_project
from ops.hazards.function_rules import FUNCTION_OPEN
from ops.hazards.function_rules import FUNCTION_REMOTE_IMPORT
from ops.hazards.function_rules import FUNCTION_REMOVED
from ops.hazards.model import RULES
from ops.hazards.model import Act
from ops.hazards.model import Check
from ops.hazards.model import Found
from ops.hazards.model import Hazard
from ops.hazards.model import Level
from ops.hazards.pending import Pending
from ops.hazards.secrets import anon_key_in_file
from ops.hazards.secrets import looks_like_a_secret
from ops.hazards.secrets import secret_in_file
from ops.migration import Migration
from ops.supabase.function_changes import Change
from ops.supabase.function_changes import FunctionChange
from ops.supabase.function_changes import asks_for_token
from ops.supabase.remote_imports import unpinned

_OF_FILES: dict[str, Check] = {
    "secret-in-file": secret_in_file,
    "anon-key-in-file": anon_key_in_file,
    "looks-like-a-secret": looks_like_a_secret,
    "foreign-project": foreign_project,
}
"""The rules of migrations that hold for the files of functions as well."""
_MOST_NAMED = 20


def function_hazards(acting: Sequence[FunctionChange], project_ref: str = "") -> tuple[Hazard, ...]:
    """What is dangerous in these changes. A hazard stands at a file, named as it is uploaded, or at the function's folder."""
    found = {hazard for one in acting for hazard in _of_the_whole(one)}
    texts = {
        file.path: file.content.decode(errors="replace")
        for one in acting
        if one.source is not None
        for file in one.source.files
    }
    return in_order((*found, *_remote(acting), *_of_files(texts, project_ref)))


def _of_the_whole(change: FunctionChange) -> Iterator[Hazard]:
    place = f"functions/{change.slug}"
    if change.change is Change.REMOVED:
        said = f"Deletes the function {change.slug}; who calls it gets 404."
        yield hazard_of(FUNCTION_REMOVED, place, Found(said), 1)
    elif not change.verify_jwt:
        if change.running is None:
            said = f"Anybody can call the new function {change.slug}: it does not ask for a token (verify_jwt = false)."
            yield hazard_of(FUNCTION_OPEN, place, Found(said, level=Level.CAUTION), 1)
        elif asks_for_token(change.running):
            said = f"Anybody can call {change.slug} from now on: verify_jwt is switched off."
            yield hazard_of(FUNCTION_OPEN, place, Found(said), 1)


def _remote(acting: Sequence[FunctionChange]) -> Iterator[Hazard]:
    """What is fetched from elsewhere when it is put together, and may be something else by then; by file."""
    of_file: dict[str, dict[str, None]] = {}
    for change in acting:
        for path, name in change.source.remote if change.source is not None else ():
            shown = unpinned(name)
            if shown:
                of_file.setdefault(path, {})[shown] = None
    for path, names in sorted(of_file.items()):
        left = len(names) - _MOST_NAMED
        more = f" and {left:,} more" if left > 0 else ""
        listed = ", ".join(islice(names, _MOST_NAMED))
        said = f"Imports what is not in the commit, and may change without one: {listed}{more}."
        yield hazard_of(FUNCTION_REMOTE_IMPORT, path, Found(said), 1)


def _of_files(texts: dict[str, str], project_ref: str) -> Iterator[Hazard]:
    pending = Pending((), project_ref)
    for path, text in sorted(texts.items()):
        file = Migration(path, "", path, b"", "", text, (), (), (), ())
        act = Act(file, None, file, 1)
        for name, check in _OF_FILES.items():
            for said in check(act, pending):
                yield hazard_of(RULES[name], path, Found(said) if isinstance(said, str) else said, 1)
