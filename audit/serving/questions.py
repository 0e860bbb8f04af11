"""The questions that auditors ask of every log, ready-made. Each takes a target, a first day and a day behind the last."""

from collections.abc import Mapping
from dataclasses import dataclass

_WHEN = "(:target = '' OR target = :target) AND (:since = '' OR {at} >= :since) AND (:until = '' OR {at} < :until)"


@dataclass(frozen=True)
class Question:
    """A question: `sql` takes `:target`, `:since` and `:until`, each of which may be empty.

    `none_expected`: the rules refuse what is asked for, so that a row is a finding.
    """

    title: str
    about: str
    sql: str
    none_expected: bool = False


def _during(at: str = "at") -> str:
    return _WHEN.format(at=at)


QUESTIONS: Mapping[str, Question] = {
    "who-approved-whom": Question(
        "Who approved whom",
        "For each two people and target: how many times one said yes to what the other asked for.",
        "SELECT approver, asked_by, target, count(*) AS times, sum(carried_from IS NOT NULL) AS carried_over,"  # noqa: S608 (constants only)
        f" min(at) AS first, max(at) AS last, max(seq) AS last_seq FROM approval WHERE {_during()}"
        " GROUP BY approver, asked_by, target ORDER BY times DESC, approver, asked_by, target",
    ),
    "emergencies": Question(
        "Emergencies and their reviews",
        "Runs without the approvals that their policy asks for: why, who let them run, and who looked at them afterwards.",
        "SELECT request, target, at, overrider, because, reviews, reviews_needed, due_at, cleared_at,"  # noqa: S608 (constants only)
        " CASE WHEN cleared_at IS NULL AND due_at IS NULL THEN 'it did not run' WHEN cleared_at IS NULL THEN 'open'"
        " WHEN cleared_at > due_at THEN 'late' ELSE 'in time' END AS review, cleared_by, seq"
        f" FROM emergency WHERE {_during()} ORDER BY seq DESC",
    ),
    "refused": Question(
        "Refused attempts",
        "What was tried and not allowed, by whom and why.",
        "SELECT at, actor, word, reason, target, request, message, seq FROM refusal"  # noqa: S608 (constants only)
        f" WHERE {_during()} ORDER BY seq DESC",
    ),
    "time-to-approve": Question(
        "Time to approve",
        "From the asking to the last yes before the run, month by month: the middle one, nine in ten, and the longest.",
        "SELECT substr(asked_at, 1, 7) AS month, target, count(*) AS requests,"  # noqa: S608 (constants only)
        " round(max(cleared_seconds) FILTER (WHERE place <= (total + 1) / 2) / 3600, 2) AS median_hours,"
        " round(max(cleared_seconds) FILTER (WHERE place <= (9 * total + 9) / 10) / 3600, 2) AS nine_in_ten_hours,"
        " round(max(cleared_seconds) / 3600, 2) AS longest_hours FROM ("
        " SELECT asked_at, target, cleared_seconds,"
        " row_number() OVER (PARTITION BY substr(asked_at, 1, 7), target ORDER BY cleared_seconds) AS place,"
        " count(*) OVER (PARTITION BY substr(asked_at, 1, 7), target) AS total"
        f" FROM request WHERE cleared_seconds IS NOT NULL AND {_during('asked_at')})"
        " GROUP BY month, target ORDER BY month DESC, target",
    ),
    "failed-runs": Question(
        "Failed runs",
        "Runs that did not end well, and when the next one on the same target did.",
        "SELECT request, target, ended AS how, ended_at, step, reason, message,"  # noqa: S608 (constants only)
        " (SELECT min(later.ended_at) FROM request AS later WHERE later.target = request.target"
        " AND later.ended_at > request.ended_at AND later.ended = 'succeeded') AS next_success_at, ended_seq"
        " FROM request WHERE ended IN ('failed', 'partially_applied', 'interrupted')"
        f" AND {_during('ended_at')} ORDER BY ended_seq DESC",
    ),
    "outside-windows": Question(
        "Runs outside windows",
        "Runs that began while none of the windows of their policy was open, and what let them.",
        "SELECT request, target, started_at, windows, CASE WHEN emergency IS NOT NULL THEN 'emergency: ' || emergency"  # noqa: S608 (constants only)
        " WHEN hotfix THEN 'hotfix' ELSE '' END AS let_by, asked_by, started_by, started_seq FROM request"
        f" WHERE outside_window = 1 AND {_during('started_at')} ORDER BY started_seq DESC",
    ),
    "approved-afterwards": Question(
        "Approved after the run began",
        "Yeses to a request whose run had begun already.",
        "SELECT request, target, at, approver, asked_by, seq FROM approval"  # noqa: S608 (constants only)
        f" WHERE after_start = 1 AND {_during()} ORDER BY seq DESC",
        none_expected=True,
    ),
    "own-approvals": Question(
        "Approved by who asked or wrote it",
        "Yeses that counted although they came from who asked, or who wrote one of the commits.",
        "SELECT request, target, at, approver, asked_by, seq FROM approval"  # noqa: S608 (constants only)
        f" WHERE own = 1 AND {_during()} ORDER BY seq DESC",
        none_expected=True,
    ),
    "own-approvals-tried": Question(
        "Tried to approve their own",
        "Who tried to say yes to what they had asked for or written, and was refused.",
        "SELECT at, actor, request, target, reason, message, seq FROM refusal"  # noqa: S608 (constants only)
        f" WHERE reason IN ('self_approval', 'author_approval') AND {_during()} ORDER BY seq DESC",
    ),
    "unapproved-runs": Question(
        "Ran with too few approvals",
        "Runs with fewer yeses than the environment's own rule asks for, and no emergency.",
        "SELECT request, kind, target, started_at, approvals, approvals_needed, asked_by, started_seq FROM request"  # noqa: S608 (constants only)
        " WHERE started_at IS NOT NULL AND approvals < approvals_needed"
        " AND request NOT IN (SELECT request FROM emergency)"
        f" AND {_during('started_at')} ORDER BY started_seq DESC",
        none_expected=True,
    ),
    "no-result": Question(
        "Intents without a result",
        "What a run was about to do, and nobody knows what became of it. What is being done this moment is among them.",
        f"SELECT at, request, target, kind, what, seq FROM intent WHERE result IS NULL AND {_during()}"  # noqa: S608 (constants only)
        " ORDER BY seq DESC",
        none_expected=True,
    ),
    "changes": Question(
        "Every change of a target",
        "What ran and what was changed outside, in order. `countersign audit population` gives the same with proof that no"
        " event is missing.",
        "SELECT at, target, what, request, by, seq FROM ("  # noqa: S608 (constants only)
        " SELECT ended_at AS at, target, kind || ' ' || ended AS what, request, asked_by AS by, ended_seq AS seq FROM request"
        " WHERE ended IN ('succeeded', 'partially_applied', 'interrupted') AND started_at IS NOT NULL"
        " UNION ALL SELECT at, target, 'outside: ' || what, NULL, NULL, seq FROM change_outside"
        f") WHERE {_during()} ORDER BY seq DESC",
    ),
    "policy-changes": Question(
        "Changes of the rules",
        "What changed in the configuration, rule by rule.",
        f"SELECT at, target, rule, old, new, seq FROM policy_change WHERE {_during()} ORDER BY seq DESC, place",  # noqa: S608 (constants only)
    ),
    "looks": Question(
        "Who looked",
        "Who read the log, or took a copy of it. A target makes no difference here.",
        "SELECT at, actor, reader, how, question, rows, seq FROM look WHERE :target = :target"
        " AND (:since = '' OR at >= :since) AND (:until = '' OR at < :until) ORDER BY seq DESC",
    ),
}
"""Every question by its name in addresses."""

TARGETS = "SELECT DISTINCT target FROM request WHERE target IS NOT NULL ORDER BY target"
