"""The rules about functions, as the page of rules has them; `ops.hazards.functions` finds what they say."""

from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import Rule

FUNCTION_OPEN = Rule(
    "function-open",
    HazardClass.ACCESS,
    Level.DANGER,
    caught="",
    left_alone="",
    safe_way="Leave verify_jwt on, or prove in the function who calls it (a signature, a secret header).",
)
FUNCTION_REMOVED = Rule(
    "function-removed",
    HazardClass.COMPATIBILITY,
    Level.DANGER,
    caught="",
    left_alone="",
    safe_way="Delete it only when nothing has called it for a while; its logs tell.",
)
FUNCTION_ROLLED_BACK = Rule(
    "function-rolled-back",
    HazardClass.COMPATIBILITY,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Mend what it was rolled back for, or take the change out of the branch, before it is pushed again.",
)
FUNCTION_REMOTE_IMPORT = Rule(
    "function-remote-import",
    HazardClass.UNCHECKED,
    Level.CAUTION,
    caught="",
    left_alone="",
    safe_way="Import npm: and jsr: packages with an exact version, and keep what comes from elsewhere in the repository.",
)
FUNCTION_RULES = (FUNCTION_OPEN, FUNCTION_REMOVED, FUNCTION_ROLLED_BACK, FUNCTION_REMOTE_IMPORT)
