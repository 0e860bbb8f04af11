"""What people read of the backups that Supabase itself keeps."""

from dataclasses import replace
from typing import Any

from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from ops.supabase.managed_backups import USABLE
from ops.supabase.managed_backups import Kept
from ops.supabase.managed_backups import Managed
from ops.supabase.managed_backups import look_at_kept
from ops.targets import Target

SHOWN = 10


def beside_ours(page: Page, target: Target) -> tuple[Page, dict[str, Any] | None]:
    """The page of our own backups with those of Supabase; then the same for programs, None where they are not known."""
    if target.settings.project_ref is None:
        return page, None
    kept, why = look_at_kept(target)
    if kept is None:
        return replace(page, facts=[*page.facts, ("At Supabase", (why,))]), None
    fact: Line = (f"{plural(len(kept.backups), 'backup')}. {kept.words()}.",)
    table: list[Part] = [_table(kept)] if kept.backups else []
    return replace(
        page, facts=[*page.facts, ("At Supabase", fact)], body=[*page.body, *table, *_way(target, kept)]
    ), kept.to_json()


def _table(kept: Kept) -> Part:
    count = len(kept.backups)
    title = f"At Supabase (the newest {SHOWN} of {count})" if count > SHOWN else "At Supabase"
    return Table(title, ["Number", "As it was", "Kind", "State"], [_row(one) for one in kept.backups[:SHOWN]])


def _row(one: Managed) -> list[Line]:
    kind = "physical" if one.is_physical else "dump"
    number: Line = (Code(str(one.id)),) if one.id is not None else ("by its moment only",)
    return [number, (When(one.at),), (kind,), (one.status.lower(),)]


def _way(target: Target, kept: Kept) -> list[Part]:
    """How to ask for one of them."""
    newest = next((one for one in kept.backups if one.status == USABLE and one.id is not None), None)
    if kept.latest is not None:
        moment = f"{kept.latest:%Y-%m-%dT%H:%MZ}"
        return [
            Paragraph(
                (
                    Command(f"restore {target.environment} --to {moment}"),
                    " asks for a moment.",
                )
            )
        ]
    if newest is not None:
        return [
            Paragraph(
                (
                    Command(f"restore {target.environment} --managed {newest.id}"),
                    " asks for one of them.",
                )
            )
        ]
    return []
