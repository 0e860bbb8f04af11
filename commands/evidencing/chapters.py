"""What the report of an evidence says, chapter by chapter, without saying how it looks: a page each."""

import hashlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from audit import Event
from commands.evidencing.run_chapters import health_chapter
from commands.evidencing.run_chapters import statements_chapter
from commands.page import Code
from commands.page import Difference
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Source
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.page_words import plural
from commands.request_page import request_page
from ops.evidence import Evidence

_DECISIONS = (
    "requested", "pinned", "shown", "approved", "approval_carried", "approval_voided", "replanned", "reminded", "claimed",
    "rejected", "cancelled", "expired", "superseded", "overridden", "code_used", "code_failed", "refused", "stop_asked",
    "started", "resumed", "recorded", "debt_owed", "debt_reminded", "reviewed",
    "locked", "unlocked", "frozen", "unfrozen", "changed_outside",
)  # fmt: skip
_IN_BOTH = frozenset({"started", "resumed"})
"""Kinds that the target's stream has too, in the same words."""
_IN_WORDS = frozenset({"refused", "superseded"})
"""Kinds whose `message` is a sentence; that of others is the id of a message in Slack."""
_TOLD_ELSEWHERE = frozenset(
    {"plan", "digest", "hazards", "rehearsal", "fingerprint", "before", "to", "message", "word"}
)
"""Fields that another chapter has whole, or that say nothing to people."""


def chapters_of(evidence: Evidence, names: Mapping[str, str], document: str, diff: str) -> tuple[Page, ...]:
    """All chapters in order. `names`: what Slack calls the people, by actor, as far as it was asked. `document`: what a yes
    stood for, whole (SQL, or sentences), or why it cannot be shown; `diff`: what the rehearsal changed in the schema."""
    return (
        _request(evidence),
        *([_people(names)] if names else []),
        _decisions(evidence),
        _policy(evidence),
        Page("What a yes stood for", body=[_document_says(evidence, document), Source("", document)]),
        _difference(diff),
        _backup(evidence),
        statements_chapter(evidence),
        health_chapter(evidence),
        _events(evidence),
        _proof(evidence),
    )


def _request(evidence: Evidence) -> Page:
    request = evidence.request
    page = request_page(request, evidence.at, whole=True)
    facts: list[tuple[str, Line]] = [
        *page.facts,
        ("Asked for", (request.kind, " of ", Code(request.target))),
        ("Status", (request.status_at(evidence.at).value.replace("_", " "),)),
        ("As of", (When(evidence.at), f", event {evidence.size} of the log")),
    ]
    return Page(page.headline, facts=facts, body=page.body, tone=page.tone)


def _people(names: Mapping[str, str]) -> Page:
    rows: list[Sequence[Line]] = [[(Code(actor),), (name,)] for actor, name in sorted(names.items())]
    told: Line = ("The log has ids, which stay; the names are those that Slack gave when this was made.",)
    return Page("People", body=[Paragraph(told), Table("", ["In the log", "Name"], rows)])


def _decisions(evidence: Evidence) -> Page:
    rows: list[Sequence[Line]] = [
        [(f"#{one.seq}",), (When(one.at),), (one.kind.replace("_", " "),), (Who(one.actor),), _grounds(one)]
        for one in evidence.of(*_DECISIONS)
        if one.kind not in _IN_BOTH or one.stream == evidence.request.stream
    ]
    told: Line = ("Everybody who asked, said yes or no, was refused or stood in the way, with the facts it rests on.",)
    return Page(
        "Decisions", body=[Paragraph(told), Table("", ["Event", "When", "What", "Who", "On which grounds"], rows)]
    )


def _grounds(event: Event) -> Line:
    if event.data is None:
        return ("its text was erased since",)
    data = event.data
    said = [str(data["message"])] if event.kind in _IN_WORDS else []
    told = {name: value for name, value in data.items() if name not in _TOLD_ELSEWHERE}
    return ("; ".join([*said, *(f"{name}: {value}" for name, value in flat(told))]),)


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """JSON as names and values in lines: `rule.approvals` and so on; what is empty is left out."""
    if isinstance(value, Mapping):
        return [one for key, held in value.items() for one in flat(held, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list):
        if not any(isinstance(one, Mapping | list) for one in value):
            return [(name, ", ".join(map(_plain, value)))] if value else []
        return [one for number, held in enumerate(value, 1) for one in flat(held, f"{name}.{number}")]
    return [] if value is None or value == "" else [(name, _plain(value))]


def _plain(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def facts_table(title: str, found: Any) -> Table:
    """JSON as a table of two columns."""
    rows: list[Sequence[Line]] = [[(Code(name),), (value,)] for name, value in flat(found)]
    return Table(title, ["What", "Value"], rows)


def _policy(evidence: Evidence) -> Page:
    request = evidence.request
    policy = request.plan.get("policy") or {}
    body: list[Paragraph | Table] = [
        Paragraph(("The policy is a part of the plan, so each yes to the plan's digest was a yes under this policy.",))
    ]
    digest = "is" if hashlib.sha256(evidence.plan).hexdigest() == request.digest else "is NOT"
    body += [Paragraph(("The digest ", Code(request.digest), f" {digest} the SHA-256 of plan.json."))]
    body += [facts_table("", policy)] if policy else [Paragraph(("No rule asked for anybody's yes.",))]
    rows: list[Sequence[Line]] = []
    for one in evidence.of("configured"):
        data = one.data or {}
        changed = "; ".join(f"{name}: {value}" for name, value in flat((data.get("changed") or {}).get(request.target)))
        by = "; ".join(f"{name}: {value}" for name, value in flat(data.get("by") or {}))
        sha256 = str((data.get("policies") or {}).get(request.target, "not configured"))
        rows.append(
            [(f"#{one.seq}",), (When(one.at),), (Code(sha256),), (changed or "nothing for this target",), (by,)]
        )
    columns = ["Event", "Read", "SHA-256 of the policy", "Changed since the time before", "Behind it"]
    body += [Table("The configuration before and while it was decided", columns, rows)] if rows else []
    return Page("The policy then in force", body=body)


def _document_says(evidence: Evidence, document: str) -> Paragraph:
    shown = [one.data for one in evidence.of_request("shown") if one.data is not None]
    if not shown:
        return Paragraph(("As the plan has it, read again at its commit; secrets are cut.",))
    known = {str(one["sha256"]) for one in shown}
    where: Line = (
        "It was shown to those who decided (",
        Code("shown"),
        " in the log), with sha256 ",
        *map(Code, sorted(known)),
        ".",
    )
    return Paragraph((*where, f" It is in document.txt, {plural(len(document), 'letter')}; secrets are cut."))


def _difference(diff: str) -> Page:
    none = Paragraph(("The log has no difference of the schema for it: it was not rehearsed, or nothing differed.",))
    return Page("What the rehearsal changed in the schema", body=[Difference("", diff) if diff else none])


def _backup(evidence: Evidence) -> Page:
    proof = evidence.request.proof
    wanted = str((evidence.request.plan.get("policy") or {}).get("backup", "none"))
    if not proof:
        told: Line = (f"None was taken for it. The policy asks for: {wanted}.",)
        return Page("Backup", body=[Paragraph(told)])
    proven = evidence.of_request("backup_proven")[-1]
    line: Line = (f"Proven as event {proven.seq}, ", When(proven.at), f". The policy asks for: {wanted}.")
    return Page("Backup", body=[Paragraph(line), facts_table("The proof", dict(proof))])


def _events(evidence: Evidence) -> Page:
    rows: list[Sequence[Line]] = [
        [(f"#{one.seq}",), (When(one.at),), (one.kind,), (Who(one.actor),), (one.stream,), (Code(one.hash[:16]),)]
        for one in evidence.events
    ]
    told: Line = ("Whole, with their data, in events.jsonl (for programs) and events.csv (for a spreadsheet).",)
    columns = ["Event", "When", "Kind", "Who", "Stream", "Hash begins"]
    return Page("Every event about it", body=[Paragraph(told), Table("", columns, rows)])


def _proof(evidence: Evidence) -> Page:
    if evidence.keys:
        signed: Line = ("The checkpoint below was signed by ", Code(", ".join(key.name for key in evidence.keys)), ".")
    else:
        signed = ("Nobody has signed this log: no key is configured. So this shows that all fits together, not more.",)
    steps: list[Line] = [
        ("Get the log's public key from somebody else than who gave you this, such as the security team.",),
        (
            "In this folder: ",
            Code("python3 verify.py --key NAME+ID+KEY"),
            ". It takes Python 3.8 or newer, nothing else.",
        ),
        (
            "Compare the checkpoint with the one that lies elsewhere (below), so that you know that there is one log only.",
        ),
    ]
    anchors: list[Line] = [(Code(where), ": ", Code(ref)) for where, ref in evidence.anchors]
    body: list[Paragraph | Listing | Source] = [
        Paragraph(signed),
        Listing("How to check it", steps),
        Source("Checkpoint", evidence.note.rstrip()),
        *([Source("Public key", "\n".join(key.to_text() for key in evidence.keys))] if evidence.keys else []),
        Listing("Where that checkpoint lies elsewhere", anchors)
        if anchors
        else Paragraph(("This checkpoint itself was put nowhere else; a later one covers it.",)),
    ]
    return Page("How this is proven", body=body)
