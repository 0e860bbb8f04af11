"""`audit population`: every production change of a period, what proves that none is missing, and a sample of them."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from audit import KINDS
from audit import Reader
from audit.changes import Change
from audit.changes import Whole
from audit.changes import changes
from audit.changes import digests
from audit.changes import failed_runs
from audit.changes import whole
from audit.export import harmless
from audit.grammar import BadQuery
from audit.grammar import parse
from audit.query import Query
from commands.auditing.asked import Asked
from commands.auditing.asked import note
from commands.page import Code
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_words import joined
from commands.page_words import plural
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import utc_now
from ops.population import Reconciled
from ops.population import drawn
from ops.population import reconciled
from ops.population import unprotected
from ops.targets import all_targets
from ops.targets import find_target

SHOWN = 50
READ_AT_ONCE = 20_000
"""Of so many events every hash is computed again without being asked to."""
VERSIONS_SHOWN = 10

COLUMNS = ("event", "at", "kind", "target", "request", "digest", "asked_by", "allowed_by", "emergency")


def run(asked: Asked) -> Reply:
    arguments, settings = asked.arguments, asked.settings
    since, until = _period(getattr(arguments, "from"), arguments.to)
    named = find_target(settings, arguments.env).name if arguments.env else None
    left_out = unprotected(settings)
    reader = Reader(asked.path)
    with reader.together() as view:
        low, high = view.span(Query(since=since, until=until))
        found = changes(view, low, high, counts=lambda name: name == named if named else name not in left_out)
        proof = whole(view, low, high, reads=arguments.verify or high - low <= READ_AT_ONCE)
        failed = failed_runs(view, low, high)
        sample = drawn(found, arguments.sample, arguments.seed, view.log_id()) if arguments.sample else found
        asked_for = [one.request for one in (sample if arguments.format else sample[:SHOWN]) if one.request]
        approved = digests(view, asked_for)
        targets = [one for one in all_targets(settings) if (one.name == named if named else one.name not in left_out)]
        compared = [] if arguments.offline else [reconciled(view, target) for target in targets]
    note(asked, "exported", {"format": arguments.format or "page", "query": _said(arguments), "rows": len(sample)})
    if arguments.format:
        _write(asked, sample, approved)
    data = {
        "from": since.isoformat(),
        "to": until.isoformat(),
        "changes": len(found),
        "failed_runs": failed,
        "sample": len(sample) if arguments.sample else None,
        "seed": arguments.seed if arguments.sample else None,
        "left_out": sorted(left_out) if named is None else [],
        "whole": asdict(proof),
        "reconciled": [asdict(one) for one in compared],
        "listed": [] if arguments.format else [_told(one, approved) for one in sample],
    }
    is_whole = not proof.missing and proof.broken is None
    page = Page(
        f"{plural(len(found), 'change')} of production"
        if named is None
        else f"{plural(len(found), 'change')} of {named}",
        facts=_facts(found, since, until, failed, left_out if named is None else frozenset(), proof),
        body=[*_listed(sample, approved, arguments), *_compared(compared)],
        tone="plain" if is_whole else "bad",
    )
    return Reply(page, data, ok=is_whole, exit_code=0 if is_whole else 1)


def _said(arguments: Any) -> str:
    """What was asked for, as the log keeps it: enough to ask for it again."""
    told = f"population from {getattr(arguments, 'from')} to {arguments.to}"
    told += f" of {arguments.env}" if arguments.env else ""
    return told + (f", a sample of {arguments.sample} with seed {arguments.seed}" if arguments.sample else "")


def _period(since: str, until: str) -> tuple[datetime, datetime]:
    """From the start of the one to the end of the other. Raises OpsError(BAD_USAGE)."""
    try:
        start = parse(f"since:{since}", utc_now(), sorted(KINDS)).since
        end = parse(f"during:{until}", utc_now(), sorted(KINDS)).until
    except BadQuery as error:
        raise OpsError(Reason.BAD_USAGE, error.message, error.hint) from error
    if start is None or end is None or start >= end:
        raise OpsError(Reason.BAD_USAGE, "No time is left between --from and --to.", "--from must be before --to.")
    return start, end


def _facts(
    found: Sequence[Change], since: datetime, until: datetime, failed: int, left_out: frozenset[str], proof: Whole
) -> list[tuple[str, Line]]:
    outside = sum(one.request is None for one in found)
    emergencies = sum(one.is_emergency for one in found)
    facts: list[tuple[str, Line]] = [
        ("Period", (When(since), " up to before ", When(until))),
        (
            "Changes",
            (f"{len(found) - outside} by requests ({emergencies} emergencies), {outside} noticed from outside",),
        ),
        ("Not counted", (f"{plural(failed, 'run')} that failed and left nothing on any target",)),
    ]
    if until > utc_now():
        facts.insert(1, ("Not over", ("these are the changes until now; what is still to come is not among them",)))
    if left_out:
        facts.append(("Left out", (f"where nobody has to approve: {', '.join(sorted(left_out))}",)))
    facts.append(("Events", (f"{proof.first} to {proof.last}; {_gaps(proof)}",)))
    facts.append(("Chain", (_chain(proof),)))
    facts.append(("Signed", (_signed(proof),)))
    return facts


def _gaps(proof: Whole) -> str:
    if proof.missing:
        return f"{plural(abs(proof.missing), 'event')} of the log {'are missing' if proof.missing > 0 else 'too many'}"
    return "every number is there once"


def _chain(proof: Whole) -> str:
    if not proof.is_read:
        return "not computed again here; --verify does, and `audit verify` for the whole log"
    return "every hash and link holds" if proof.broken is None else f"event {proof.broken} does not hold"


def _signed(proof: Whole) -> str:
    ends = [("before", proof.before), ("behind", proof.after)]
    told = [
        f"{where} it at {one[0]} events, root {one[1][:16]}" if one else f"nothing {where} it" for where, one in ends
    ]
    return "; ".join(told)


def _listed(sample: Sequence[Change], approved: dict[str, str], arguments: Any) -> list[Part]:
    if arguments.format or not sample:
        return []
    title = f"A sample of {len(sample)}, drawn with seed {arguments.seed}" if arguments.sample else "Changes"
    columns = ("Event", "When", "What", "Asked by", "Allowed by", "Digest")
    shown = sample[:SHOWN]
    parts: list[Part] = [Table(title, columns, [_row(one, approved) for one in shown])]
    if len(shown) < len(sample):
        parts.append(Paragraph((f"These are {len(shown)} of {len(sample)}; --format csv writes all.",)))
    return parts


def _row(one: Change, approved: dict[str, str]) -> Sequence[Line]:
    what = f"{'emergency, ' if one.is_emergency else ''}{one.kind.replace('_', ' ')}"
    number: Line = (Code(one.request), " ") if one.request else ()
    by: Line = (Who(one.asked_by),) if one.asked_by else ("not known",)
    allowed = joined(Who(actor) for actor in one.allowed_by) or ("nobody",)
    digest: Line = (approved.get(one.request or "", "")[:16],)
    when = When(datetime.fromisoformat(one.at))
    return ((f"#{one.seq}",), (when,), (*number, f"{what} on {one.target}"), by, allowed, digest)


def _compared(found: Sequence[Reconciled]) -> list[Part]:
    """What the targets' own histories say now, of all time and not of the period: their rows have no date."""
    lines: list[Line] = [(f"{one.target}: {_beside(one)}",) for one in found]
    return [Listing("The targets' histories beside the log", lines)] if lines else []


def _beside(one: Reconciled) -> str:
    if one.problem is not None:
        return f"could not be asked: {one.problem}"
    sides = [("only in the log", one.only_in_log), ("only there", one.only_there)]
    return "; ".join(
        [f"{plural(one.in_both, 'version')} in both", *(f"{len(v)} {name}{_some(v)}" for name, v in sides)]
    )


def _some(versions: Sequence[str]) -> str:
    shown = ", ".join(versions[:VERSIONS_SHOWN])
    return f" ({shown}{', …' if len(versions) > VERSIONS_SHOWN else ''})" if versions else ""


def _told(one: Change, approved: dict[str, str]) -> dict[str, Any]:
    digest = approved.get(one.request or "", "")
    values = (one.seq, one.at, one.kind, one.target, one.request, digest, one.asked_by, list(one.allowed_by))
    return dict(zip(COLUMNS, (*values, one.is_emergency), strict=True))


def _write(asked: Asked, sample: Sequence[Change], approved: dict[str, str]) -> None:
    writer = csv.writer(asked.out)
    writer.writerow(COLUMNS)
    for one in sample:
        told = _told(one, approved)
        cells = {**told, "allowed_by": " ".join(one.allowed_by), "emergency": "yes" if one.is_emergency else "no"}
        writer.writerow([harmless(cells[name]) for name in COLUMNS])
