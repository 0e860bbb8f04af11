"""`rollback R-7`: the ways in which what R-7 applied can be taken back, each proven on a copy, with what it loses in rows.

They are shown in the order in which they should be thought of. `nothing`: nothing of it is on the target. `script`: the
repository has a script for each of its files, `supabase/rollbacks/<version>_<name>.down.sql`. `inverse`: statements that
are derived from the schema without and with its files. `prior-copy`: the rows that were set aside when it dropped, updated
or deleted them. `tables`: single tables out of the verified backup. `restore`: the whole backup, with the number of rows
that were written since.

A way is offered only after it ran on a copy of the target as it is now, and behind it the schema was the one from before.
The files were then applied again and taken back once more, and the rows had the same hashes. What it would lose is
counted on the target. `--with` asks for one of them: a request of its own, approved as a push is. Its files leave the
history, so that they can be planned again.

Only the newest can be undone: what came later is named, and goes first. Beside the migrations a reverse script is found
too, but there the Supabase CLI takes it for a migration and would run it.

Examples:
    rollback R-7                     show the ways, and what each loses
    rollback R-7 --with inverse      ask for one of them

See also: show, resume, restore, push
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import replace
from typing import Any

from commands.asked import asked_reply
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import Source
from commands.page_words import plural
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.layer import Ops
from ops.masking import mask_sql
from ops.requests import Request
from ops.requests import find_request
from ops.supabase.function_standing import Stays
from ops.supabase.function_standing import functions_that_stay
from ops.undo.offer import Offer
from ops.undo.offer import Way

USAGE = "rollback R-NUMBER [--with WAY]"
SUMMARY = "show how a request can be undone and what that loses, or ask for it"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
LINES_IN_SLACK = 25

OPTIONS = {
    "with": Option(
        needed=True,
        choices=("script", "inverse", "prior-copy", "tables", "restore"),
        takes="a way: script, inverse, prior-copy, tables or restore",
        help="ask to undo it in this way",
    ),
}


def run(ops: Ops, said: Said) -> Reply:
    # Here because it loads all that a rehearsal takes, and every word's module is read for its page.
    from ops.undo.offers import offers
    from ops.undo.offers import request_undo
    from ops.undo.past import chain_of

    request = find_request(ops.view, said.one("request"))
    if "with" in said.options:
        way = Way(said.options["with"])
        return asked_reply(ops, said, request_undo(ops, request, way, said.actor, said.act, said.progress))
    found = offers(ops, request, said.actor, said.progress)
    return _offered(ops, said, request, found, functions_that_stay(ops.view, [*chain_of(ops, request)]))


def _offered(ops: Ops, said: Said, request: Request, found: tuple[Offer, ...], stays: Sequence[Stays]) -> Reply:
    open_ways = [one for one in found if one.proposal is not None]
    data: dict[str, Any] = {"request": request.id, "target": request.target, "offers": [_json(one) for one in found]}
    data["functions"] = [{**asdict(one), "command": _puts_back(request, one)} for one in stays]
    if not found:
        page = Page(f"{request.id} deployed functions alone to {request.target}; each is put back by itself")
        page = replace(page, body=_functions_part(request, stays), next=_next_of_functions(request, stays))
        return Reply(page, {**data, "status": "functions_only"})
    if found[0].way is Way.NOTHING:
        status = "nothing_to_do" if found[0].proof and not stays else "functions_only" if found[0].proof else "unknown"
        return Reply(_nothing_page(request, found[0], stays), {**data, "status": status})
    headline = f"{request.id} on {request.target} can be undone in {plural(len(open_ways), 'way')}"
    if not open_ways:
        headline = f"No way to undo {request.id} on {request.target} is proven"
    body: list[Part] = []
    for one in open_ways:
        body += [_part(one), *(_sql(ops, said, one) if said.front is Front.TERMINAL or one is open_ways[0] else [])]
    closed = [one for one in found if one.proposal is None]
    if closed:
        body.append(Listing("Not offered", [(f"{one.way.value}: {one.because}",) for one in closed]))
    body += _functions_part(request, stays)
    page = Page(headline, body=body, next=_next(request, open_ways), tone="plain" if open_ways else "warning")
    return Reply(page, {**data, "status": "offered" if open_ways else "not_offered"})


def _nothing_page(request: Request, found: Offer, stays: Sequence[Stays]) -> Page:
    functions = _functions_part(request, stays)
    if not found.proof:
        page = Page(f"Whether anything of {request.id} is left on {request.target} is not proven", tone="warning")
        return replace(page, body=[Listing("What was found", [(found.because,)]), *functions])
    body: list[Part] = [Listing("What proves it", [(one,) for one in found.proof]), *functions]
    if stays:
        headline = f"Nothing of {request.id} is in the database of {request.target}; its functions stay"
        return Page(headline, body=body, next=_next_of_functions(request, stays))
    return Page(f"There is nothing to undo: {found.because}", body=body, tone="good")


def _functions_part(request: Request, stays: Sequence[Stays]) -> list[Part]:
    """The functions that it deployed: none of the ways changes them, and how each is put back."""
    if not stays:
        return []
    title = f"{plural(len(stays), 'function')} that stay{'s' * (len(stays) == 1)} as deployed"
    return [Listing(title, [_stays_line(request, one) for one in stays])]


def _stays_line(request: Request, one: Stays) -> Line:
    slug = Code(one.slug)
    if one.since:
        return (slug, f" was deployed again by {one.since} since; ", Command(f"show {one.since}"), " tells of it")
    doubt = "" if one.is_known else ", perhaps: whether it was deployed is not known"
    command = _puts_back(request, one)
    if command is None:
        return (slug, f" is new{doubt}: it ran nothing before that could be put back")
    deleted = "deleted" if one.change == "removed" else "deployed"
    return (slug, f" was {deleted}{doubt}; ", Command(command), " asks to put back what it ran before")


def _puts_back(request: Request, one: Stays) -> str | None:
    return f"functions {request.environment} rollback {one.slug}" if one.ran_before and not one.since else None


def _next_of_functions(request: Request, stays: Sequence[Stays]) -> Line:
    command = next((found for one in stays if (found := _puts_back(request, one))), None)
    if command is None:
        return (Command(f"functions {request.environment}"), " shows what runs now, and what is kept.")
    return (Command(command), " asks for it: a request of its own, approved as a push is.")


def _part(one: Offer) -> Listing:
    sentences = [*(("does", line) for line in one.does), *(("loses", line) for line in one.loses)]
    sentences += [("proven", line) for line in one.proof]
    return Listing(f"{one.way.value}: {one.title}", [(line,) for _, line in sentences], [mark for mark, _ in sentences])


def _sql(ops: Ops, said: Said, one: Offer) -> list[Part]:
    """What would run; in Slack the beginning, and nothing where SQL is not to be shown there."""
    if one.proposal is None or (said.front is Front.SLACK and ops.settings.slack and ops.settings.slack.sql == "hash"):
        return []
    lines = [line for migration in one.proposal.migrations for line in mask_sql(migration.text).splitlines()]
    most = LINES_IN_SLACK if said.front is Front.SLACK else len(lines)
    more = f", the first {most} lines" if len(lines) > most else ""
    return [Source(f"What {one.way.value} runs{more}", "\n".join(lines[:most]))] if lines else []


def _next(request: Request, open_ways: list[Offer]) -> Line:
    if not open_ways:
        return ("put what takes it back into a migration of its own, and push that.",)
    first = Command(f"rollback {request.id} --with {open_ways[0].way.value}")
    return (first, " asks for it: a request of its own, approved as a push is.")


def _json(one: Offer) -> Mapping[str, Any]:
    return {
        "way": one.way.value,
        "title": one.title,
        "offered": one.proposal is not None,
        "because": one.because,
        "does": list(one.does),
        "loses": list(one.loses),
        "proof": list(one.proof),
        "digest": one.proposal.digest if one.proposal is not None else None,
    }
