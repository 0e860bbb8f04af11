"""Why a plan may not be asked for, from what its rehearsal showed and what the policy says of its hazards. Pure."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ops.errors import OpsError
from ops.errors import Reason
from ops.hazards.model import Hazard
from ops.hazards.model import Level
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rules import NOTHING_SAID_HINT
from ops.rules import nothing_said_message
from ops.rules import rules_of
from ops.rules import says_nothing


def forbidden(
    hazards: Sequence[Hazard], policy: Mapping[str, Any], target: str, filename_of: Callable[[str], str]
) -> OpsError | None:
    """A hazard that nobody may accept: one that is forbidden everywhere, or whose class the policy refuses here."""
    for hazard in hazards:
        if hazard.level is Level.FORBIDDEN:
            place = f"{filename_of(hazard.version)}, line {hazard.line}"
            return OpsError(Reason.HAZARD_FORBIDDEN, f"{place}: {hazard.message}", hazard.safe_way, exit_code=3)
    rules = policy.get("hazards", {})
    for hazard in hazards:
        name = hazard.hazard_class.value
        if hazard.level >= Level.CAUTION and rules.get(name) == "refused":
            place = f"{filename_of(hazard.version)}, line {hazard.line}"
            return OpsError(
                Reason.HAZARD_FORBIDDEN,
                f"{place}: {hazard.message.rstrip('.')} (rule {hazard.rule}, class {name}), and {target} refuses "
                f"whatever is {name}.",
                hazard.safe_way,
                exit_code=3,
                details={"rule": hazard.rule, "class": name, "version": hazard.version, "line": hazard.line},
            )
    return None


def unruled(hazards: Sequence[Hazard], policy: Mapping[str, Any], target: str) -> OpsError | None:
    """A policy that has no answer for this plan: every one of its rules was skipped, or it says nothing at all."""
    if not says_nothing(policy, rules_of(policy, [hazard.to_json() for hazard in hazards], ())):
        return None
    return OpsError(Reason.POLICY_EMPTY, nothing_said_message(target, policy), NOTHING_SAID_HINT, exit_code=3)


def not_rehearsed(rehearsal: Rehearsal | None, policy: Mapping[str, Any], target: str) -> OpsError | None:
    """A rehearsal that did not pass, where the policy requires one."""
    if policy.get("rehearsal") != "required" or (rehearsal and rehearsal.outcome is Outcome.PASSED):
        return None
    failed = next((one for one in rehearsal.files if one.outcome == "failed"), None) if rehearsal else None
    if failed is not None:
        return _failed(failed, target)
    because = rehearsal.because if rehearsal else "nobody has tried it"
    return OpsError(
        Reason.REHEARSAL_IMPOSSIBLE,
        f"{target} is pushed to only after a rehearsal, and there was none: {because.rstrip('.')}.",
        "`countersign doctor` says what a rehearsal needs on this machine; mend that, then ask again.",
        exit_code=3,
    )


def _failed(failed: FileFacts, target: str) -> OpsError:
    """As a compiler says it: the place and the error, then the line with a mark under it."""
    error = failed.error or {}
    where = f"{failed.filename}:{error['line']}" if error.get("line") else failed.filename
    where += f":{error['column']}" if error.get("line") and error.get("column") else ""
    code = f" (SQLSTATE {error['sqlstate']})" if error.get("sqlstate") else ""
    told = str(error.get("message") or "it failed").rstrip(".")
    hints = [str(error[key]) for key in ("detail", "hint", "about_copy") if error.get(key)]
    mend = error.get("to_mend") or "Mend the file and ask again."
    return OpsError(
        Reason.REHEARSAL_FAILED,
        f"{where}: {told}{code}. It failed on a copy of {target}; nothing was sent to {target} itself.",
        " ".join([*hints, str(mend)]),
        exit_code=3,
        details={"sql": dict(error)},
    )
