"""`functions prod`: the edge functions of a project, how they differ from the branch, and what can be put back.

A push deploys the functions of its commit behind its migrations, where the environment has a `project_ref` and an access
token. What a function ran is kept on the bot's machine before another one takes its place, for Supabase keeps no older
version. So one can be rolled back; it gets a new version number, as every deployment does.

`deploy` and `rollback` are requests, approved like a push. A rollback takes the version before the one that runs, or the one
that is named. Whatever the database holds stays as it is.

Examples:
    functions prod                              what runs, and what a push would change
    functions prod logs hello --since 2h        its newest lines, without secrets
    functions prod deploy hello                 ask to deploy it as it is on the branch
    functions prod deploy hello --commit 4e1b2c9    the same for a commit of the branch
    functions prod rollback hello               ask to put back what it ran before
    functions prod rollback hello --to 7        the same for a version that is kept

See also: push, status, secrets
"""

from collections.abc import Sequence

from commands.asked import asked_reply
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Page
from commands.page import Part
from commands.page import Source
from commands.page import Table
from commands.page import When
from commands.page_words import plural
from commands.reply import Reply
from commands.words import COMMIT
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.setting_values import parse_duration
from ops.supabase.function_changes import Change
from ops.supabase.function_list import Listed
from ops.supabase.function_list import list_functions
from ops.supabase.function_list import logs_of
from ops.targets import Target
from ops.targets import find_target

USAGE = "functions ENVIRONMENT [logs|deploy|rollback NAME] [--commit SHA] [--to VERSION] [--since DURATION]"
SUMMARY = "list edge functions and their logs; ask to deploy one, or to roll one back"
GROUP = Group.LOOK
FRONTS = frozenset({Front.SLACK, Front.TERMINAL})
OPTIONS = {
    "commit": COMMIT,
    "to": Option(
        "[0-9]{1,9}", needed=True, takes="a version", help="the version that is put back, of those that are kept"
    ),
    "since": Option(
        "[0-9]{1,5}(s|m|h)", needed=True, takes="a duration such as 90s, 30m or 4h", help="so far back; 1h if not said"
    ),
}
_FITTING = {"logs": {"since"}, "deploy": {"commit"}, "rollback": {"to"}, "": set[str]()}
LOG_LINES = 40


def run(ops: Ops, said: Said) -> Reply:
    what, slug = _said(said)
    target = find_target(ops.settings, said.arguments[0])
    match what:
        case "logs":
            return _logs(ops, said, target, slug)
        case "deploy":
            from ops.kinds.functions import request_deploy  # with the database driver, which a look goes without

            asked = request_deploy(ops, target, slug, said.actor, said.act, commit=said.options.get("commit"))
            return asked_reply(ops, said, asked)
        case "rollback":
            from ops.kinds.functions import request_rollback

            version = int(said.options["to"]) if "to" in said.options else None
            return asked_reply(ops, said, request_rollback(ops, target, slug, said.actor, said.act, version=version))
        case _:
            return _listing(ops, target)


def _said(said: Said) -> tuple[str, str]:
    """What is asked for, and of which function; both empty for the list."""
    count, what = len(said.arguments), said.arguments[1].lower() if len(said.arguments) > 1 else ""
    if count not in {1, 3} or what not in _FITTING:
        message = "`functions` takes an environment, and perhaps logs, deploy or rollback with the name of a function."
        raise OpsError(Reason.BAD_USAGE, message, f"Type `{USAGE}`.")
    odd = sorted(set(said.options) & set(OPTIONS) - _FITTING[what])
    if odd:
        raise OpsError(Reason.BAD_USAGE, f"--{odd[0]} says nothing here.", f"Type `{USAGE}`.")
    return what, said.arguments[2] if count == 3 else ""


_CHANGES = {
    Change.CREATED: "not deployed yet",
    Change.CHANGED: "differs",
    Change.UNCHANGED: "the same",
    Change.REMOVED: "not on the branch; a push deletes it",
    Change.LEFT: "not on the branch",
}


def _listing(ops: Ops, target: Target) -> Reply:
    commit, found = list_functions(ops, target)
    data = {"target": target.name, "commit": commit, "functions": [one.to_json() for one in found]}
    branch = target.settings.branch
    if not found:
        return Reply(Page(f"{target.name} has no functions, and {branch} has none either", tone="good"), data)
    behind = sum(one.change in {Change.CREATED, Change.CHANGED, Change.REMOVED} for one in found)
    words = f"{plural(behind, 'function')} of {len(found)} not as on {branch}" if behind else f"all as on {branch}"
    body: list[Part] = [
        Table("", ["Function", "Runs", "Against the branch", "Called by", "Kept"], [_row(one) for one in found])
    ]
    push: Line = (
        ("a push deploys what differs: ", Command(f"plan {target.environment}"), " shows it.") if behind else ()
    )
    small: Line = (f"{branch} is at ", Code(commit[:12]), ". Kept versions can be rolled back to.")
    page = Page(f"{target.name}: {words}", body=body, next=push, small=small, tone="plain" if behind else "good")
    return Reply(page, data)


def _row(one: Listed) -> Sequence[Line]:
    since: Line = (", since ", When(one.updated_at)) if one.updated_at is not None else ()
    runs: Line = (f"version {one.version}", *since) if one.version is not None else ("nothing",)
    kept = ", ".join(map(str, one.kept[:5])) or "none"
    return [
        (Code(one.slug),),
        runs,
        (_CHANGES[one.change] + (f"; {one.standing}" if one.standing else ""),),
        ("who has a token" if one.verify_jwt else "anybody",),
        (kept,),
    ]


def _logs(ops: Ops, said: Said, target: Target, slug: str) -> Reply:
    since = parse_duration(said.options.get("since", "1h"))
    rows = logs_of(target, slug, ops.now(), since)
    data = {"target": target.name, "function": slug, "logs": [dict(row) for row in rows]}
    words = said.options.get("since", "1h")
    if not rows:
        return Reply(Page(f"{slug} on {target.name} logged nothing within {words}", tone="good"), data)
    shown = [
        f"{row['at'][:19]}Z {row['level'] or '-':5} {' '.join(row['message'].split())}" for row in rows[:LOG_LINES]
    ]
    more: Line = (f"The newest {LOG_LINES} of {len(rows)}; --json has all.",) if len(rows) > LOG_LINES else ()
    headline = f"{slug} on {target.name}: {plural(len(rows), 'line')} within {words}, the newest first"
    return Reply(Page(headline, body=[Source("", "\n".join(shown))], small=more), data)
