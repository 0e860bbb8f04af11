"""The one exception that people see, and the closed list of its reason codes."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why something was refused or failed. Programs rely on the codes; the words around them may change."""

    # how the call was made (exit 2)
    BAD_USAGE = "bad_usage"
    BAD_CONFIG = "bad_config"
    UNKNOWN_WORD = "unknown_word"
    UNKNOWN_ENVIRONMENT = "unknown_environment"
    UNKNOWN_REQUEST = "unknown_request"
    UNKNOWN_BACKUP = "unknown_backup"
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_SESSION = "unknown_session"
    ENVIRONMENT_NEEDED = "environment_needed"
    NO_LOG = "no_log"
    LOG_BUSY = "log_busy"
    LOG_UNAVAILABLE = "log_unavailable"
    LOG_DAMAGED = "log_damaged"
    LOG_REPLACED = "log_replaced"
    NOT_AT_THIS_FRONT = "not_at_this_front"
    OTHER_VERSION = "other_version"
    REMOTE_UNAVAILABLE = "remote_unavailable"

    # what was found (exit 1 or 2)
    REPOSITORY_UNAVAILABLE = "repository_unavailable"
    REPOSITORY_REFUSED = "repository_refused"
    ANCHOR_FAILED = "anchor_failed"
    COMMIT_NOT_ON_BRANCH = "commit_not_on_branch"
    TARGET_UNAVAILABLE = "target_unavailable"
    TARGET_REFUSED = "target_refused"
    TOOLS_MISSING = "tools_missing"
    PICTURE_FAILED = "picture_failed"
    HAZARDS_FOUND = "hazards_found"
    TYPES_STALE = "types_stale"
    DRIFT_FOUND = "drift_found"
    HISTORY_NOT_REPLAYED = "history_not_replayed"
    BACKUP_DAMAGED = "backup_damaged"
    API_REFUSED = "api_refused"
    API_PLAN = "api_plan"
    API_FAILED = "api_failed"
    UNEXPECTED = "unexpected"

    # refused by policy (exit 3)
    NOT_ALLOWED = "not_allowed"
    NOT_A_MEMBER = "not_a_member"
    NOT_A_REQUESTER = "not_a_requester"
    NOT_AN_APPROVER = "not_an_approver"
    NOT_AN_AUDITOR = "not_an_auditor"
    SELF_APPROVAL = "self_approval"
    AUTHOR_APPROVAL = "author_approval"
    UNKNOWN_AUTHOR = "unknown_author"
    TERMINAL_MAY_NOT_APPROVE = "terminal_may_not_approve"
    IDENTITY_UNPROVEN = "identity_unproven"
    SHARED_CHANNEL = "shared_channel"
    FLOODED = "flooded"
    POLICY_UNSATISFIABLE = "policy_unsatisfiable"
    POLICY_EMPTY = "policy_empty"
    POLICY_CHANGED = "policy_changed"
    GROUP_CHANGED = "group_changed"
    PLAN_CHANGED = "plan_changed"
    PLAN_BLOCKED = "plan_blocked"
    HAZARD_FORBIDDEN = "hazard_forbidden"
    REHEARSAL_FAILED = "rehearsal_failed"
    REHEARSAL_IMPOSSIBLE = "rehearsal_impossible"
    BACKUP_NOT_PROVEN = "backup_not_proven"
    NOT_SHOWN_YET = "not_shown_yet"
    ALREADY_APPROVED = "already_approved"
    ALREADY_DECIDED = "already_decided"
    STALE_CARD = "stale_card"
    FORGED_VALUE = "forged_value"
    EXPIRED = "expired"
    NOT_WAITING = "not_waiting"
    NOT_RUNNING = "not_running"
    DIGEST_NEEDED = "digest_needed"
    NOT_CONFIRMED = "not_confirmed"
    CODE_NEEDED = "code_needed"
    CODE_WRONG = "code_wrong"
    NOT_ENROLLED = "not_enrolled"
    FACTOR_LOCKED = "factor_locked"
    FACTOR_UNAVAILABLE = "factor_unavailable"
    REVIEW_OWED = "review_owed"
    VALUE_NEEDED = "value_needed"

    # somebody or something is in the way (exit 5)
    TARGET_BUSY = "target_busy"
    TARGET_BLOCKED = "target_blocked"
    TARGET_LOCKED = "target_locked"
    TARGET_FROZEN = "target_frozen"
    OUTSIDE_WINDOW = "outside_window"
    LOCK_TIMEOUT = "lock_timeout"
    STANDBY_BEHIND = "standby_behind"
    API_BUSY = "api_busy"

    # a run ended (exit 1)
    SQL_FAILED = "sql_failed"
    NOT_AS_REHEARSED = "not_as_rehearsed"
    HEALTH_FAILED = "health_failed"
    STOPPED = "stopped"
    OUTCOME_UNKNOWN = "outcome_unknown"
    RUNNER_DIED = "runner_died"
    CONNECTION_LOST = "connection_lost"


class OpsError(Exception):
    """One full sentence for the person who reads it, a stable reason code, and a next step that can be followed.

    `message` and `hint` never hold a secret, nor do `details`: plain JSON for programs and the log (an SQL error's
    SQLSTATE, file, line, excerpt…). `exit_code` is what the terminal ends with (see the contract in
    docs/design.md): 1 failed, 2 usage or configuration, 3 refused, 4 waited in vain, 5 busy.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        hint: str = "",
        *,
        exit_code: int = 2,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.details: Mapping[str, Any] = details or {}


class NothingToDoError(Exception):
    """What was asked for is so already: no failure, and no request. `message` says what is so, `hint` what to do instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
