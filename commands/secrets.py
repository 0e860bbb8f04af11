"""`secrets prod`: the names of a project's secrets, what functions read of them, what is missing. Values are never shown.

The list has the name, the beginning of the digest that Supabase shows, when it was set, and which functions of the branch
read it. What functions read and the project does not have stands first. What has the same value on another environment is
marked, as far as digests tell.

The list is for whoever may ask on that environment. `set` and `unset` ask for it, and take the approvals of a push: people
agree to the name. The value is entered afterwards by whoever asked: type the same words again. At the terminal it is asked
for without being shown, or read from standard input with `--from-stdin`; in Slack a private answer has a link to a page that
is good once, for ten minutes, where `[listener]` is configured. It is set at once. It is in no log, no message and no file
here, and Supabase gives it back to nobody.

A value is never typed with the name: it would stand in the shell's history and in the list of processes. Whoever said yes
to a request does not enter its value.

Examples:
    secrets prod                          what is there, what is missing
    secrets prod set STRIPE_KEY           ask for it; later the same words enter the value
    secrets prod set STRIPE_KEY --from-stdin < key.txt      at the terminal, from a file or a password manager
    secrets prod unset OLD_KEY            ask to take it away

See also: plan, status, approve
"""

from dataclasses import replace

from commands.asked import asked_reply
from commands.next_parts import card_line
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Part
from commands.page import Source
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.page_words import sentence_line
from commands.push import push_reply
from commands.reply import Reply
from commands.show import request_json
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.gates import waits_of
from ops.giving_values import check_takes_value
from ops.giving_values import give_value
from ops.giving_values import waiting_for_value
from ops.kinds.secrets import How
from ops.kinds.secrets import check_no_value
from ops.kinds.secrets import checked_name
from ops.kinds.secrets import request_secret
from ops.layer import Ops
from ops.layer import may_request_now
from ops.requests import Request
from ops.supabase.client import need_api
from ops.supabase.env_reads import FunctionReads
from ops.supabase.secrets import Listed
from ops.supabase.secrets import listed
from ops.supabase.secrets import reads_at
from ops.supabase.secrets import shared_secrets
from ops.targets import Target
from ops.targets import all_targets
from ops.targets import find_target
from ops.targets import target_names

USAGE = "secrets ENVIRONMENT [set|unset NAME] [--from-stdin]"
SUMMARY = "list a project's secrets by name, or ask to set one or take it away"
GROUP = Group.ASK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {"from-stdin": Option(help="read the value from standard input, at the terminal")}

IF_A_VALUE = "If it was a value, make a new one where it comes from, for this one was seen."
NAMED = 3
"""So many functions are named in a line of the list."""


def run(ops: Ops, said: Said) -> Reply:
    if not said.arguments:
        raise OpsError(Reason.ENVIRONMENT_NEEDED, "Say which environment's secrets.", f"Type `{USAGE}`.")
    for one in said.arguments:
        check_no_value(one)
    if said.arguments[0].lower() not in target_names(ops.settings):
        # neither repeated nor compared with what is near, as find_target does: it may be a value
        names = ", ".join(sorted(one.name for one in all_targets(ops.settings)))
        message = "Behind `secrets` stands an environment first, and there is none of that name; it is in no log."
        raise OpsError(Reason.UNKNOWN_ENVIRONMENT, message, f"Choose one of: {names}. {IF_A_VALUE}")
    target = find_target(ops.settings, said.arguments[0])
    if len(said.arguments) == 1:
        return _list(ops, said, target)
    how = next((one for one in How if one == said.arguments[1].lower()), None)
    if how is None or len(said.arguments) == 2:
        raise OpsError(
            Reason.BAD_USAGE, "`secrets` takes `set` or `unset`, then a name.", f"Type `{USAGE}`. {IF_A_VALUE}"
        )
    if len(said.arguments) > 3:
        raise OpsError(
            Reason.BAD_USAGE,
            "`secrets` takes one name and nothing behind it; a value is never typed here. What stood there is in no log.",
            f"{IF_A_VALUE} Then name the secret alone.",
        )
    name = checked_name(said.arguments[2])
    return _set(ops, said, target, name) if how is How.SET else _ask(ops, said, target, how, name)


def _ask(ops: Ops, said: Said, target: Target, how: How, name: str) -> Reply:
    read = _reads(ops, target, said)[1].by_name.get(name)
    functions = read.functions if read is not None else ()
    return asked_reply(ops, said, request_secret(ops, target, how, name, said.actor, said.act, functions))


def _set(ops: Ops, said: Said, target: Target, name: str) -> Reply:
    """Ask for it where nobody has; where it waits for the value alone, enter it, or say how."""
    waiting = waiting_for_value(ops, target, name)
    if not waiting:
        read = _reads(ops, target, said)[1].by_name.get(name)
        functions = read.functions if read is not None else ()
        waiting = [request_secret(ops, target, How.SET, name, said.actor, said.act, functions)]
        if waiting[0].needed:
            return _asked(ops, said, waiting[0])
    ready = [one for one in waiting if not one.waits_for_people]
    request = next((one for one in ready if one.by == said.actor), next(iter(ready), None))
    if request is None:
        return _asked(ops, said, waiting[0])
    if said.front is Front.SLACK:
        return _link(ops, said, check_takes_value(ops, request.id, said.actor), name)
    value = ops.values.held(said.act)
    if value is None:
        return _needed(ops, check_takes_value(ops, request.id, said.actor), name)
    return push_reply(give_value(ops, request.id, value, said.actor, said.act, "terminal", said.progress), ops.now())


def _asked(ops: Ops, said: Said, request: Request) -> Reply:
    """It waits for people; its card tells it to everybody."""
    waits = waits_of(ops, request)
    reply = push_reply(request, ops.now(), waits)
    if said.front is not Front.SLACK:
        return reply
    does = Listing("What it does", [sentence_line(str(one)) for one in request.plan["does"]])
    headline = f"{request.id} is asked for: {request.plan['title']} {request.target}"
    return replace(reply, page=Page(headline, body=[does], next=card_line(request, waits)))


def _needed(ops: Ops, request: Request, name: str) -> Reply:
    """Nothing but the value is missing: a terminal that can ask for it does so now, and says the same words again with it."""
    again = Code(f"countersign secrets {request.environment} set {name}")
    page = Page(
        f"{request.id} on {request.target} waits for the value of {name}",
        next=(again, " at a terminal asks for it without showing it; with --from-stdin it is read from there."),
    )
    data = {**request_json(request, ops.now()), "request": request.id, "status": "waiting", "value": "needed"}
    return Reply(page, data, request=request.id)


def _link(ops: Ops, said: Said, request: Request, name: str) -> Reply:
    """The page for it, in private. That it was given is in the log; the address is not, nor is it in a headline."""
    data = {**request_json(request, ops.now()), "request": request.id, "status": "waiting", "value": "needed"}
    headline = f"{request.id} on {request.target} waits for the value of {name}"
    at_terminal: Line = ("at a terminal of the bot's host: ", Command(f"secrets {request.environment} set {name}"))
    if ops.settings.listener is None:
        small: Line = ("There is no page for it, since [listener] is not configured.",)
        return Reply(Page(headline, next=at_terminal, small=small), data, request=request.id)
    token, until = ops.value_links.make(request.id, said.actor, ops.now())
    asked = ops.draft("value_asked", said.actor, request, {"secret": name, "until": until.isoformat()})
    ops.log.append([asked], id=f"{said.act}:link")
    page = Page(
        headline,
        [("Good until", (When(until), ", once, for you alone"))],
        [Source("Open this address and enter it there", f"{ops.settings.listener.url}/value/{token}")],
        next=("or ", *at_terminal),
    )
    return Reply(page, data, request=request.id)


def _reads(ops: Ops, target: Target, said: Said) -> tuple[str, FunctionReads]:
    """What the functions at the branch's newest commit read, with why that is not known, in words, where it is not."""
    said.progress("reading the repository")
    try:
        repository = ops.repository(target)
        repository.update()
        return "", reads_at(target, repository, repository.resolve(target.settings.branch))
    except OpsError as error:
        return error.message, FunctionReads()


def _list(ops: Ops, said: Said, target: Target) -> Reply:
    may_request_now(ops, target, said.actor).or_raise()
    unread, reads = _reads(ops, target, said)
    said.progress(f"asking for the secrets of {target.name}")
    with need_api(target) as api:
        there = api.secrets()
    shared = shared_secrets(target, there)
    found = listed(reads, there, shared)
    missing = [one for one in found if one.is_missing]
    lacking = sum(not one.is_optional for one in missing)
    data = {
        "target": target.name,
        "secrets": [_json(one) for one in found],
        "missing": [one.name for one in missing],
        "open_functions": list(reads.is_open),
    }
    notes: list[Line] = [(f"What functions read is not known: {unread}",)] if unread else []
    if reads.is_open:
        notes.append((f"May read more than is seen, under names made while they run: {', '.join(reads.is_open)}.",))
    notes += [(f"Not compared with {name}: {why}",) for name, why in shared.unasked.items()]
    rows = [_row(one) for one in sorted(found, key=lambda one: (not one.is_missing, one.is_optional, one.name))]
    body: list[Part] = [Table("", ["Name", "Digest", "Set", "Read by", "Note"], rows)] if rows else []
    body += [Listing("To know", notes)] if notes else []
    headline = f"{plural(len(found) - len(missing), 'secret')} on {target.name}"
    headline += f", {lacking} missing" if lacking else ""
    first = next((one.name for one in missing if not one.is_optional), None)
    following: Line = (Command(f"secrets {target.environment} set {first}"), " asks for it.") if first else ()
    return Reply(Page(headline, body=body, next=following, tone="warning" if lacking else "plain"), data)


def _row(one: Listed) -> list[Line]:
    more = f" and {len(one.functions) - NAMED} more" if len(one.functions) > NAMED else ""
    read = f"{', '.join(one.functions[:NAMED])}{more}" if one.functions else "no function seen"
    note = ("missing, has a default" if one.is_optional else "MISSING") if one.is_missing else ""
    note += f"same value on {', '.join(one.shared_with)}" if one.shared_with else ""
    at: Line = (When(one.updated_at),) if one.updated_at else ("",)
    return [(one.name,), (one.digest,), at, (read,), (note,)]


def _json(one: Listed) -> dict[str, object]:
    return {
        "name": one.name,
        "digest": one.digest or None,
        "updated_at": one.updated_at.isoformat() if one.updated_at else None,
        "functions": list(one.functions),
        "optional": one.is_optional,
        "missing": one.is_missing,
        "shared_with": list(one.shared_with),
    }
