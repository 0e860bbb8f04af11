"""Forms in Slack: which a click opens, and what is wrong in one that was sent. What they mean is ops' to say."""

import re
from collections.abc import Mapping
from typing import Any

from audit import AuditError
from bot.intake import Act
from bot.modals import CODE
from bot.modals import ENVIRONMENT
from bot.modals import OPTIONS_MOST
from bot.modals import REASON
from bot.modals import approve_form
from bot.modals import choice_form
from bot.modals import override_form
from bot.modals import reject_form
from bot.slack_api import SlackApi
from bot.slack_api import SlackUnavailableError
from commands.help import MOST_USED
from commands.request_page import question_of
from commands.words import Front
from commands.words import declared_words
from ops.approving import may_see_button
from ops.confirming import Proofs
from ops.confirming import asks_environment
from ops.confirming import confirmed
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.overriding import may_override_now
from ops.request_queue import in_its_place
from ops.requests import Request
from ops.requests import find_request
from ops.second_factor import check_code
from ops.second_factor import check_enrolled
from ops.targets import all_targets

VALUE = re.compile(
    r"(?P<verb>approve|override|reject|cancel|stop|resume|rollback|clean) (?P<request>R-[1-9][0-9]{0,8}) "
    r"(?P<prefix>[0-9a-f]{16})( (?P<word>[0-9a-f]{16}))?"
)
"""What a button stands for: the verb, the request, the plan, and in a private answer a word that works once."""

OF_A_CODE = frozenset({Reason.CODE_WRONG, Reason.FACTOR_LOCKED})
"""Why a code does not count, where another one may: it is told at the field, and the form stays open."""

_TAKES_ONE = re.compile(r"[a-z]+ \[?ENVIRONMENT\]?( \[.*)?")
"""The usage of a word that needs an environment and nothing else."""


def inputs_of(verb: str, request: Request) -> frozenset[str]:
    """What the form asks for that this button opens: a reason for a no; for a yes what the policy wants with it. Empty where
    it opens none."""
    match verb:
        case "reject":
            return frozenset({REASON})
        case "override":
            return frozenset({CODE})
        case "approve":
            asked = {ENVIRONMENT: asks_environment(request), CODE: request.needs_code}
            return frozenset(name for name, is_asked in asked.items() if is_asked)
        case _:
            return frozenset()


def open_form(ops: Ops, api: SlackApi, act: Act, request: Request) -> None:
    """Ask whoever pressed for more, if their decision could count. Raises OpsError when it could not, or Slack will not."""
    if act.verb == "override":
        may_override_now(ops, request, act.actor)
        again = f"push {request.environment} --emergency <why>"
        open_view(api, act.trigger, override_form(request.id, request.target, act.value), again)
        return
    may_see_button(ops, in_its_place(ops.view, request) if act.verb == "reject" else request, act.actor)
    if act.verb == "reject":
        view = reject_form(request.id, request.target, act.value)
        instead = f"reject {request.id} <reason>"
    else:
        if request.needs_code:
            check_enrolled(ops, act.actor)
        asked, question = inputs_of("approve", request), question_of(request)
        named, code = ENVIRONMENT in asked, CODE in asked
        view = approve_form(request.id, request.target, act.value, question=question, environment=named, code=code)
        instead = f"approve {request.id}"
    open_view(api, act.trigger, view, instead)


def open_choice(ops: Ops, api: SlackApi, act: Act) -> None:
    """Let whoever typed only the command choose what to do and where. Raises OpsError when there is nothing to choose from,
    too much for one form, or Slack does not open it."""
    targets = [target.name for target in all_targets(ops.settings)]
    if not 0 < len(targets) <= OPTIONS_MOST:
        raise OpsError(
            Reason.BAD_USAGE, f"A form cannot offer {len(targets)} environments.", "Type it instead: `help`."
        )
    open_view(api, act.trigger, choice_form(chosen_words(), targets, act.channel or ""), "help")


def chosen_words() -> list[tuple[str, str]]:
    """The words that an environment alone completes, with what they do: what people use most comes first."""
    fit = [one for one in declared_words().values() if Front.SLACK in one.fronts and _TAKES_ONE.fullmatch(one.usage)]
    first = {name: place for place, name in enumerate(MOST_USED)}
    return [(one.name, one.summary) for one in sorted(fit, key=lambda one: (first.get(one.name, len(first)), one.name))]


def open_view(api: SlackApi, trigger: str | None, view: Mapping[str, Any], instead: str) -> None:
    """Show a form to whoever gave this trigger, which Slack takes for three seconds. `instead`: what can be typed as well."""
    if not trigger:
        message = "The bot was restarted before it could open the form."
        raise OpsError(Reason.STALE_CARD, message, f"Press the button again, or type `{instead}`.", exit_code=3)
    try:
        api.call("views.open", trigger_id=trigger, view=view, seconds=5)
    except SlackUnavailableError as error:
        raise OpsError(
            Reason.UNEXPECTED,
            f"Slack did not open the form ({error.error}).",
            f"Press the button again, or type `{instead}`.",
            exit_code=1,
        ) from error


def field_errors(ops: Ops, act: Act) -> Mapping[str, str]:
    """What to say at which field of a form that was sent; nothing where all that can be told at once is right."""
    found = VALUE.fullmatch(act.value)
    if found is None or act.verb not in {"approve", "override"}:
        return {}
    try:
        request = find_request(ops.view, found["request"])
        if not act.inputs or act.inputs.keys() != inputs_of(act.verb, request):
            return {}
        decision = confirmed(request, proofs_of(act))
        if ENVIRONMENT in act.inputs and not decision.allowed:
            return {ENVIRONMENT: decision.message}
        if CODE in act.inputs:
            check_code(ops, act.actor, act.id, act.inputs[CODE], f"{act.verb} {request.id}", request)
    except OpsError as error:
        return {CODE: f"{error.message} {error.hint}".strip()} if error.reason in OF_A_CODE else {}
    except AuditError:
        return {}  # the answer behind the acknowledgement says it
    return {}


def proofs_of(act: Act) -> Proofs:
    """What somebody gave with their yes."""
    return Proofs(environment=act.inputs.get(ENVIRONMENT), code=act.inputs.get(CODE))
