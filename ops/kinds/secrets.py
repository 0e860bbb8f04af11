"""Setting a secret of a project, or taking one away: people agree to the name; the value is entered later and kept nowhere.

The API never gives a value back, so that something was done is seen by the digest and the moment that it shows. What was
sent and not answered is looked for, and never sent again by itself.
"""

import hashlib
import re
import time
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from ops.asking_again import hint_after_change
from ops.database import connect
from ops.database import target_failed
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import Fingerprint
from ops.fingerprint import identity_of
from ops.guard import Guard
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.people import Actor
from ops.proposing import Proposal
from ops.proposing import propose
from ops.recovery import Standing
from ops.requests import SECRETS
from ops.requests import Request
from ops.steps import Recorder
from ops.supabase.client import ManagementApi
from ops.supabase.client import need_api
from ops.supabase.env_reads import is_given
from ops.supabase.models import Secret
from ops.supabase.secrets import short
from ops.targets import Target
from ops.values import Value

STEPS = ("preflight", "secrets")
LOOKS_SECONDS = (0.0, 0.5, 1.5)
"""How long it is waited before each look whether something that was sent and not answered came about."""

_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,255}")
_SAME = ("project_ref", "host", "database", "system_identifier")


class How(StrEnum):
    SET = "set"
    UNSET = "unset"


@dataclass(frozen=True)
class Present:
    """How the API shows a secret: the beginning of its digest and when it was set, both empty where it is not there."""

    digest: str = ""
    updated_at: str = ""

    @property
    def is_there(self) -> bool:
        return bool(self.digest)


def check_no_value(text: str) -> None:
    """Raise OpsError(BAD_USAGE) for NAME=VALUE, and for what was covered as such."""
    if "=" in text or text.startswith("«masked"):
        raise OpsError(
            Reason.BAD_USAGE,
            "A value is never typed with the name: it would stand in the shell's history, in the list of processes and in "
            "Slack. It was covered here, and nothing was done.",
            "Make a new value where it comes from, for this one was seen; then `secrets ENVIRONMENT set NAME` asks for it.",
        )


def checked_name(name: str) -> str:
    """The name of a secret as somebody typed it. Raises OpsError(BAD_USAGE), also for a value that was typed with it."""
    check_no_value(name)
    if not _NAME.fullmatch(name):
        raise OpsError(
            Reason.BAD_USAGE,
            "That is not a name for a secret: capital letters, digits and `_`, not beginning with a digit.",
            "For example: `secrets prod set STRIPE_KEY`.",
        )
    if is_given(name):
        message = f"{name} is set by the platform itself; nobody else can set it or take it away."
        raise OpsError(Reason.BAD_USAGE, message, "Choose a name that does not begin with SUPABASE_.")
    return name


def request_secret(
    ops: Ops, target: Target, how: How, name: str, actor: Actor, act: str, read_by: tuple[str, ...] = ()
) -> Request:
    """Ask to set a secret of this name, or to take it away. The same act asked again, or the same wish, finds what stands.

    `read_by` are the functions that are known to read it, for whoever decides. Raises NothingToDoError for taking away
    what is not there; OpsError as the API, the target and `propose` do.
    """
    may_request_now(ops, target, actor).or_raise()
    with need_api(target) as api:
        present = _present(api, name)
    if how is How.UNSET and not present.is_there:
        raise NothingToDoError(f"{target.name} has no secret {name}")
    proposal = Proposal(
        kind=SECRETS,
        target=target,
        title=f"{how} the secret {name} {'on' if how is How.SET else 'of'}",
        commit="",
        fingerprint=_identity(target),
        does=_does(target, how, name, present, read_by),
        loses=_loses(how, name, present),
        facts={"how": how.value, "secret": name, "digest": present.digest, "updated_at": present.updated_at},
        steps=STEPS,
    )
    return propose(ops, proposal, actor, act)


def _does(target: Target, how: How, name: str, present: Present, read_by: tuple[str, ...]) -> tuple[str, ...]:
    ref = target.settings.project_ref
    now = f"digest {present.digest}, set {present.updated_at[:16].replace('T', ' ') or 'at an unknown time'}"
    read = (f"Read by: {', '.join(read_by)}.",) if read_by else ()
    if how is How.UNSET:
        return (f"Takes the secret {name} away from the project {ref} ({now}).", *read)
    what = f"in place of what is there ({now})" if present.is_there else "which it does not have yet"
    return (
        f"Sets the secret {name} of the project {ref}, {what}.",
        "The value is not part of this. Whoever asked enters it afterwards, on a page that is good once or at the terminal; "
        "a requester at the terminal may, too. It is set at once, and kept nowhere here.",
        *read,
    )


def _loses(how: How, name: str, present: Present) -> tuple[str, ...]:
    if not present.is_there:
        return ()
    lost = f"The present value of {name}: Supabase gives it to nobody, so it cannot be put back from here."
    return (lost, *(["Functions that read it find nothing from then on."] if how is How.UNSET else []))


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """What is no longer as it was: the target, the policy, or this secret, which somebody else set or took away."""
    target, facts = ops.target_of(request), _facts(request)
    progress(f"looking at {target.name}")
    then, now = request.plan["fingerprint"], _identity(target).to_json()
    changed = [] if all(now[part] == then[part] for part in _SAME) else ["the target"]
    changed += [] if target.settings.policy() == request.plan["policy"] else ["the policy"]
    with need_api(target) as api:
        present = _present(api, facts["secret"])
    if present != Present(facts["digest"], facts["updated_at"]):
        changed.append(f"the secret {facts['secret']}, which somebody else set or took away")
    return changed


def carry_out(recorder: Recorder, target: Target, guard: Guard | None, standing: Standing | None) -> None:
    """Look whether all is as it was asked for, set it or take it away, and look whether that came about."""
    request = recorder.request
    done = _last(recorder.ops, request, f"secret_{_how(request)}")
    with recorder.step("preflight", {"digest": request.digest, "makes": []}) as result:
        if done is None:
            _check_same(recorder, request)
        result["health"] = []
        result["said"] = "exactly what was asked for" if done is None else "taken up again"
    if recorder.stop() and done is None:
        message = f"{request.id} was stopped. {_facts(request)['secret']} is as it was."
        raise OpsError(Reason.STOPPED, message, exit_code=1)
    with recorder.step("secrets", {"secret": _facts(request)["secret"], "how": _how(request)}) as result:
        if done is None:
            done = _do(recorder, target)
        result["said"] = _said(request, done)
        result["secrets"] = [{"name": _facts(request)["secret"], "outcome": _how(request)}]


def _check_same(recorder: Recorder, request: Request) -> None:
    changed = what_changed(recorder.ops, request, recorder.progress)
    if changed:
        raise OpsError(
            Reason.PLAN_CHANGED,
            f"Since {request.id} was made, this changed: {', '.join(changed)}. Nothing was done.",
            hint_after_change(request, changed),
            exit_code=3,
            details={"changed": changed},
        )


def _do(recorder: Recorder, target: Target) -> Mapping[str, Any]:
    """Send it once; what shows that it came about is recorded and returned. Raises OpsError."""
    request = recorder.request
    name, how = str(_facts(request)["secret"]), _how(request)
    value = recorder.ops.values.held(request.id) if how is How.SET else None
    if how is How.SET and value is None:
        raise OpsError(
            Reason.VALUE_NEEDED,
            f"The value of {name} was entered for a run that is no more, and is kept nowhere. Nothing was sent.",
            "Ask again, and enter it again.",
            exit_code=1,
        )
    with need_api(target) as api:
        before = _present(api, name)
        recorder.record(f"secret_{how}_sent", {"secret": name, "was": before.digest, "updated_at": before.updated_at})
        unanswered = _send(api, name, value)
        found = _found(lambda: _look(api, name), before, value, is_sure=unanswered is None)
    if found is None:
        raise OpsError(
            Reason.OUTCOME_UNKNOWN,
            f"Whether {name} of {target.name} was {_past(how)} is not known: it was sent, and the project's list does not "
            f"show it{'' if unanswered is None else '; ' + unanswered.message}",
            f"Look at `secrets {request.environment}` in a minute, then say what you found.",
            exit_code=1,
        )
    done = {"secret": name, **found}
    recorder.record(f"secret_{how}", done)
    return done


def _send(api: ManagementApi, name: str, value: Value | None) -> OpsError | None:
    """Send it. Returns the error where nobody knows whether it came about; raises it where it certainly did not."""
    try:
        if value is None:
            api.unset_secrets([name])
        else:
            api.set_secrets([(name, value.text)])
    except OpsError as error:
        if error.details.get("outcome") != "unknown":
            raise
        return error
    return None


def _look(api: ManagementApi, name: str) -> Secret | None:
    return next((one for one in api.secrets() if one.name == name), None)


def _found(
    look: Callable[[], Secret | None],
    before: Present,
    value: Value | None,
    *,
    is_sure: bool,
    pauses_seconds: tuple[float, ...] = LOOKS_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, str] | None:
    """What shows that it came about (data of the event, without the name); None where nothing does.

    `is_sure`: the API said that it did it. A list that cannot be read then leaves that word as all there is.
    """
    for seconds in pauses_seconds:
        sleep(seconds)
        try:
            secret = look()
        except OpsError:
            continue
        seen_by = _seen_by(before, secret, value)
        if seen_by:
            return {**_as_data(_as_present(secret)), "seen_by": seen_by}
        if is_sure and (secret is not None) == (value is not None):
            return {**_as_data(_as_present(secret)), "seen_by": "answer"}  # the same value as before
    return None


def _seen_by(before: Present, secret: Secret | None, value: Value | None) -> str:
    """By what one sees that it was set (or, without a value, taken away); empty where one does not."""
    now = _as_present(secret)
    if value is None:
        return "" if now.is_there else "gone"
    if secret is None:
        return ""
    is_it = secret.digest.lower() == hashlib.sha256(value.text.encode()).hexdigest()
    if now.digest != before.digest or is_it:
        return "digest"
    return "moment" if now.updated_at and now.updated_at != before.updated_at else ""


def stands(ops: Ops, request: Request, target: Target) -> Standing:
    """After its runner died: whether what it sent came about. A value that died with it cannot be sent again."""
    how, name = _how(request), _facts(request)["secret"]
    if _last(ops, request, f"secret_{how}") is not None:
        return Standing()
    sent = _last(ops, request, f"secret_{how}_sent")
    if sent is not None:
        before = Present(sent["was"], sent["updated_at"])
        with need_api(target) as api:
            now = _present(api, name)
        if now != before and now.is_there == (how is How.SET):
            seen_by = "gone" if how is How.UNSET else ("digest" if now.digest != before.digest else "moment")
            return Standing(found={"secret": name, **_as_data(now), "seen_by": seen_by}, found_kind=f"secret_{how}")
    if how is How.UNSET:
        return Standing()
    return Standing(problem=f"the value that it had was kept nowhere, and {name} is as it was before")


def _as_present(secret: Secret | None) -> Present:
    return Present() if secret is None else Present(short(secret), (secret.updated_at or "")[:40])


def _present(api: ManagementApi, name: str) -> Present:
    return _as_present(_look(api, name))


def _as_data(present: Present) -> dict[str, str]:
    return {"now": present.digest, "updated_at": present.updated_at}


def _last(ops: Ops, request: Request, kind: str) -> Mapping[str, Any] | None:
    found = [one for one in ops.view.events(stream=request.stream) if one.kind == kind]
    return found[-1].data if found else None


def _said(request: Request, done: Mapping[str, Any]) -> str:
    name = _facts(request)["secret"]
    if _how(request) is How.UNSET:
        return f"{name} is taken away"
    same = ", which is what was there before" if done["seen_by"] == "answer" else ""
    return f"{name} is set, digest {done['now']}{same}"


def _past(how: How) -> str:
    return "set" if how is How.SET else "taken away"


def _how(request: Request) -> How:
    return How(_facts(request)["how"])


def _facts(request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.plan["facts"]
    return found


def _identity(target: Target) -> Fingerprint:
    """The target without its state, which a secret has nothing to do with."""
    with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
        try:
            identity = identity_of(connection, project_ref=target.settings.project_ref)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
        version = connection.info.server_version
    return Fingerprint(**identity, server_version=version, history_sha256="", schema_sha256="")


KIND = Kind(what_changed=what_changed, carry_out=carry_out, stands=stands, ending="txt")
