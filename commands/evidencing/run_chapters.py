"""The chapters of an evidence's report that tell of the run: what was sent to the target and when, and how it was after."""

from collections.abc import Sequence

from audit import Event
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.timeline import timeline_text
from ops.evidence import Evidence
from ops.timeline import timeline_of

_DONE = ("migration_applied", "migration_undone", "history_repaired", "script_run")


def statements_chapter(evidence: Evidence) -> Page:
    """Every statement that was sent, when, and what became of it; then the files, then the whole run as bars."""
    timeline = timeline_of([one for one in evidence.events if one.stream == evidence.request.stream])
    if timeline is None:
        return Page("What was run", body=[Paragraph(("Nothing: no run of it was ever started.",))])
    steps: list[Sequence[Line]] = [
        [(f"#{one.seq}",), (When(one.at),), (str(data["step"]),), (f"{data['seconds']:.2f} s",), (_step_said(one),)]
        for one in evidence.of_request("step_finished", "step_failed")
        if (data := one.data)
    ]
    sent = [_statement(one, evidence) for one in evidence.of_request("statement_sent")]
    files: list[Sequence[Line]] = [
        [(f"#{one.seq}",), (When(one.at),), (data["version"], " ", data["name"]), (Code(data["sha256"]),)]
        for one in evidence.of_request(*_DONE)
        if (data := one.data)
    ]
    body: list[Part] = [
        Paragraph((f"It took {timeline.seconds:.2f} s from ", When(timeline.began), ".")),
        Table("Steps", ["Event", "Ended", "Step", "Took", "Outcome"], steps),
        Table("Statements", ["Events", "Sent", "File", "Statements", "Took", "Outcome", "SHA-256"], sent),
        Table("Files committed, with their history row", ["Event", "When", "File", "SHA-256"], files),
        Source("When it did what", timeline_text(timeline)),
    ]
    return Page("What was run", body=[one for one in body if not isinstance(one, Table) or one.rows])


def _step_said(event: Event) -> str:
    data = event.data or {}
    return "done" if event.kind == "step_finished" else f"failed: {data.get('message', '')}"


def _statement(sent: Event, evidence: Evidence) -> Sequence[Line]:
    """One sending of statements, with the first answer to it."""
    data = sent.data or {}
    ended = next(
        (
            one
            for one in evidence.of_request("statement_finished")
            if one.place > sent.place
            and one.data
            and (one.data["version"], one.data["segment"]) == (data.get("version"), data.get("segment"))
        ),
        None,
    )
    numbers = [number + 1 for number in data.get("statements", ())]
    which = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else ", ".join(map(str, numbers))
    found = (ended.data or {}) if ended else {}
    took = f"{found['seconds']:.2f} s" if found else ""
    outcome = " ".join(
        filter(None, [str(found.get("outcome", "not known")).replace("_", " "), found.get("detail", "")])
    )
    seqs = f"#{sent.seq}" + (f", #{ended.seq}" if ended else "")
    sha256 = Code(str(data.get("sha256", ""))[:16])
    return [(seqs,), (When(sent.at),), (str(data.get("version", "")),), (which,), (took,), (outcome,), (sha256,)]


def health_chapter(evidence: Evidence) -> Page:
    """The checks before and after, and how the target was watched."""
    rows: list[Sequence[Line]] = []
    for one in evidence.of_request("step_finished", "step_failed"):
        data = one.data or {}
        held = data.get("result") or data.get("error") or {}
        checks = (
            (held.get("health") or (held.get("details") or {}).get("health") or ()) if isinstance(held, dict) else ()
        )
        rows += [
            [
                (f"#{one.seq}",),
                (When(one.at),),
                ("after" if data["step"] == "health" else "before",),
                (str(check["name"]),),
                ("ok" if check["ok"] else "NOT ok",),
                (f"{check['detail']}, {check['seconds']} s",),
            ]
            for check in checks
        ]
    body: list[Part] = (
        [Table("Checks", ["Event", "When", "Of the run", "Check", "Result", "What came"], rows)] if rows else []
    )
    watched = [_watched(one) for one in evidence.of_request("watch_began", "watch_worsened", "watched")]
    body += [Table("How the target was watched afterwards", ["Event", "When", "What"], watched)] if watched else []
    return Page("Health", body=body or [Paragraph(("No check of its health is in the log for it.",))])


def _watched(event: Event) -> Sequence[Line]:
    data = event.data or {}
    match event.kind:
        case "watch_began":
            said = f"watched from here for {data['seconds']:.0f} s"
        case "watch_worsened":
            said = f"{plural(len(data['worse']), 'thing')} got worse"
        case _:
            because = f": {data['because']}" if data["because"] else ""
            said = f"{str(data['outcome']).replace('_', ' ')} in {data['watched_seconds']:.0f} s{because}"
    return [(f"#{event.seq}",), (When(event.at),), (said,)]
