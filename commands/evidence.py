"""`evidence R-7`: everything that is known about a request as one zip, with what proves it to somebody from outside.

In it are a report to read and to print (HTML and PDF: request, diff, hazards, decisions, the policy then in force, backup
proof, statements with their times, health), the raw events, a proof for each that it is in the signed log, and a program that
checks all of that with nothing but Python. Of a request that is over it is the same file each time.

At the terminal it is written to a file; in Slack it is sent to the person who asked, and nobody else. What is masked in the
log is masked in it.

Auditors may ask for it, approvers, and who has a login on the host of the bot. Who took which is in the log.

Examples:
    evidence R-7                      R-7-evidence.zip, here
    evidence R-7 --out /tmp/r7.zip    the same, there (terminal only)

See also: show, history
"""

from audit import Draft
from commands.evidencing.bundle import bundle_of
from commands.page import Code
from commands.page import Line
from commands.page import Page
from commands.page_words import plural
from commands.reply import PrivateFile
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.auditors import check_may_audit
from ops.errors import OpsError
from ops.errors import Reason
from ops.evidence import Evidence
from ops.evidence import evidence_of
from ops.evidence import signed_manifest
from ops.kinds import kind_of
from ops.layer import Ops
from ops.people import Actor
from ops.rehearsing import diff_text_of

USAGE = "evidence R-NUMBER [--out FILE]"
SUMMARY = "give out all that is known of a request, with its proofs, as one zip"
GROUP = Group.LOG
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"out": Option(".+", needed=True, takes="a file to write", help="write it there (terminal only)")}

PEOPLE_ASKED = 50
"""Slack is asked for the names of so many people at most."""


def run(ops: Ops, said: Said) -> Reply:
    number = said.one("request, such as R-7")
    check_may_audit(ops, said.actor)
    if "out" in said.options and said.front is not Front.TERMINAL:
        message = "--out names a file of the terminal's host, so it is for the terminal."
        raise OpsError(Reason.NOT_AT_THIS_FRONT, message, "Here the file is sent to you directly.")
    said.progress("gathering the events and their proofs")
    evidence = evidence_of(ops, number)
    said.progress("writing the report")
    archive, sha256 = bundle_of(
        evidence,
        _names(ops, evidence),
        _document(ops, evidence),
        diff_text_of(ops.view, evidence.request),
        lambda manifest: signed_manifest(ops, evidence, manifest),
    )
    _record(ops, said, evidence, sha256)
    name = f"{evidence.request.id}-evidence.zip"
    data = {
        "request": evidence.request.id,
        "events": len(evidence.events),
        "size": evidence.size,
        "root": evidence.root.hex(),
        "signed_by": [key.to_text() for key in evidence.keys],
        "manifest_sha256": sha256,
        "bytes": len(archive),
    }
    return Reply(_page(evidence, sha256), data, file=PrivateFile(name, archive))


def _record(ops: Ops, said: Said, evidence: Evidence, sha256: str) -> None:
    """Who gets which file, before they get it."""
    query = f"evidence {evidence.request.id}"
    data = {"format": "zip", "query": query, "rows": len(evidence.events), "sha256": sha256}
    ops.log.append([Draft(kind="exported", actor=said.actor.id, stream="all", data=data)], id=f"{said.act}:exported")


def _page(evidence: Evidence, sha256: str) -> Page:
    signed: Line = (Code(", ".join(key.name for key in evidence.keys)),)
    if not evidence.keys:
        signed = ("by nobody: no key is configured, so it proves little; ", Code("countersign audit key"), " makes one")
    return Page(
        f"Evidence about {evidence.request.id}: {plural(len(evidence.events), 'event')}, each with its proof",
        facts=[
            ("Proven to", (f"the first {evidence.size} events of the log, root ", Code(evidence.root.hex()[:16]))),
            ("Signed", signed),
            ("List of files", ("sha256 ", Code(sha256))),
        ],
        next=("unpack it and run ", Code("python3 verify.py --key …"), " with the log's public key from elsewhere."),
        tone="plain" if evidence.keys else "warning",
    )


def _names(ops: Ops, evidence: Evidence) -> dict[str, str]:
    """What Slack calls the people in it; whoever it does not know, or not now, is left as the log has them."""
    if not ops.people.are_known:
        return {}
    found: dict[str, str] = {}
    actors = dict.fromkeys(event.actor for event in evidence.events if event.actor.startswith("slack:"))
    for actor in list(actors)[:PEOPLE_ASKED]:
        try:
            found[actor] = ops.people.person(Actor(actor).user or "").name
        except OpsError:
            continue
    return found


def _document(ops: Ops, evidence: Evidence) -> str:
    """What a yes stood for, or one sentence that says why it cannot be read any more."""
    try:
        return kind_of(evidence.request.kind).document(ops, evidence.request)
    except OpsError as error:
        return f"It cannot be read any more: {error.message}\nThe plan has the SHA-256 of each file.\n"
