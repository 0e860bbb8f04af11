"""The tables that auditors ask, and what each kind of event writes into them."""

import json
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS request (
    request TEXT PRIMARY KEY, kind TEXT, target TEXT, asked_by TEXT, asked_at TEXT, digest TEXT, commit_sha TEXT,
    worst_hazard TEXT, authors TEXT, approvals_needed INTEGER, windows TEXT, hotfix INTEGER, emergency TEXT,
    approvals INTEGER NOT NULL DEFAULT 0, cleared_at TEXT, cleared_seconds REAL, started_at TEXT, started_by TEXT,
    outside_window INTEGER, ended TEXT, ended_at TEXT, ended_by TEXT, reason TEXT, message TEXT, step TEXT,
    run_seconds REAL, asked_seq INTEGER, started_seq INTEGER, ended_seq INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS request_target ON request (target, ended_at);
CREATE INDEX IF NOT EXISTS request_started ON request (started_at);
CREATE INDEX IF NOT EXISTS request_asked ON request (asked_at);
CREATE TABLE IF NOT EXISTS approval (
    seq INTEGER PRIMARY KEY, at TEXT, request TEXT, target TEXT, approver TEXT, asked_by TEXT, number INTEGER,
    needed INTEGER, carried_from TEXT, own INTEGER, after_start INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS approval_request ON approval (request);
CREATE TABLE IF NOT EXISTS refusal (
    seq INTEGER PRIMARY KEY, at TEXT, actor TEXT, word TEXT, reason TEXT, request TEXT, target TEXT, message TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS refusal_reason ON refusal (reason);
CREATE TABLE IF NOT EXISTS emergency (
    seq INTEGER PRIMARY KEY, at TEXT, request TEXT UNIQUE, target TEXT, overrider TEXT, because TEXT, due_at TEXT,
    reviews_needed INTEGER, reviews INTEGER NOT NULL DEFAULT 0, cleared_at TEXT, cleared_by TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS intent (
    seq INTEGER PRIMARY KEY, at TEXT, kind TEXT, request TEXT, target TEXT, what TEXT, result TEXT, result_at TEXT,
    result_seq INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS intent_open ON intent (request, what) WHERE result IS NULL;
CREATE TABLE IF NOT EXISTS change_outside (
    seq INTEGER, place INTEGER, at TEXT, target TEXT, what TEXT, PRIMARY KEY (seq, place)
) STRICT;
CREATE TABLE IF NOT EXISTS policy_change (
    seq INTEGER, place INTEGER, at TEXT, target TEXT, rule TEXT, old TEXT, new TEXT, PRIMARY KEY (seq, place)
) STRICT;
CREATE TABLE IF NOT EXISTS look (
    seq INTEGER PRIMARY KEY, at TEXT, actor TEXT, reader TEXT, how TEXT, question TEXT, rows INTEGER
) STRICT;
"""

LEVELS = ("info", "caution", "danger", "forbidden")
Take = Callable[[Mapping[str, Any], str], dict[str, Any]]


def _requested(data: Mapping[str, Any], _: str) -> dict[str, Any]:
    plan = data.get("plan") or {}
    policy = plan.get("policy") or {}
    levels = [one.get("level") for one in data.get("hazards", ())]
    people = [*data.get("authors", ()), *data.get("unknown_authors", ()), *data.get("behind", ())]
    return {
        "of_kind": data.get("kind"),
        "digest": data.get("digest"),
        "commit": data.get("commit"),
        "hazard": max((one for one in levels if one in LEVELS), key=LEVELS.index, default=None),
        "authors": ", ".join(map(str, people)),
        "needed": policy.get("approvals"),
        "windows": json.dumps(policy["windows"]) if policy.get("windows") else None,
        "hotfix": int(bool(plan.get("hotfix"))),
        "emergency": (plan.get("emergency") or {}).get("because"),
    }


def _approved(data: Mapping[str, Any], actor: str) -> dict[str, Any]:
    approver = data.get("approver") or actor
    return {
        "approver": approver,
        "person": approver.rpartition("/")[2],
        "number": data.get("number"),
        "needed": data.get("needed"),
        "carried": data.get("from_request"),
    }


def _intent(data: Mapping[str, Any], _: str) -> dict[str, Any]:
    """What an intent and its result have in common: a step and its try, or statements of a file."""
    if "step" in data:
        what = f"step {data['step']}, try {data.get('attempt')}"
    else:
        numbers = data.get("statements") or ["?"]
        what = f"{data.get('version')}, statements {numbers[0]} to {numbers[-1]}"
    return {"what": what, "result": data.get("outcome") or data.get("reason") or "done"}


_APPROVAL = (
    "INSERT INTO approval SELECT :seq, :at, :request, coalesce(:target, asked.target), :approver, asked.asked_by, :number,"
    " :needed, :carried, asked.asked_by = :approver OR instr(', ' || asked.authors || ',', ', ' || :person || ',') > 0,"
    " asked.started_at IS NOT NULL FROM (SELECT 1) LEFT JOIN request AS asked ON asked.request = :request",
    "UPDATE request SET approvals = approvals + 1,"
    " cleared_at = CASE WHEN started_at IS NULL THEN :at ELSE cleared_at END,"
    " cleared_seconds = CASE WHEN started_at IS NULL THEN"
    " round((julianday(:at) - julianday(asked_at)) * 86400, 3) ELSE cleared_seconds END WHERE request = :request",
)
_INTENT = "INSERT INTO intent VALUES (:seq, :at, :kind, :request, :target, :what, NULL, NULL, NULL)"
_RESULT = (
    "UPDATE intent SET result = :result, result_at = :at, result_seq = :seq WHERE seq = (SELECT max(seq) FROM intent"
    " WHERE request = :request AND what = :what AND result IS NULL)"
)


def _only(*keys: str) -> Take:
    return lambda data, _: {key: data.get(key) for key in keys}


FOLDS: Mapping[str, tuple[tuple[str, ...], Take]] = {
    "requested": (
        (
            "INSERT OR IGNORE INTO request (request, kind, target, asked_by, asked_at, digest, commit_sha, worst_hazard,"
            " authors, approvals_needed, windows, hotfix, emergency, asked_seq) VALUES (:request, :of_kind, :target, :actor,"
            " :at, :digest, :commit, :hazard, :authors, :needed, :windows, :hotfix, :emergency, :seq)",
        ),
        _requested,
    ),
    "approved": (_APPROVAL, _approved),
    "approval_carried": (_APPROVAL, _approved),
    "started": (
        (
            "UPDATE request SET started_at = coalesce(started_at, :at), started_seq = coalesce(started_seq, :seq),"
            " started_by = coalesce(started_by, :actor),"
            " outside_window = CASE WHEN started_at IS NULL THEN :outside_window ELSE outside_window END"
            " WHERE request = :request",
        ),
        lambda _data, _actor: {},
    ),
    "refused": (
        ("INSERT INTO refusal VALUES (:seq, :at, :actor, :word, :reason, :request, :target, :message)",),
        _only("word", "reason", "message"),
    ),
    "overridden": (
        (
            "INSERT OR IGNORE INTO emergency (seq, at, request, target, overrider, because) SELECT :seq, :at, :request,"
            " coalesce(:target, (SELECT target FROM request WHERE request = :request)), :actor, :because",
        ),
        _only("because"),
    ),
    "debt_owed": (
        ("UPDATE emergency SET due_at = :due_at, reviews_needed = :needed WHERE request = :request",),
        _only("due_at", "needed"),
    ),
    "reviewed": (
        (
            "UPDATE emergency SET reviews = reviews + 1, cleared_at = CASE WHEN :cleared THEN :at ELSE cleared_at END,"
            " cleared_by = CASE WHEN :cleared THEN :actor ELSE cleared_by END WHERE request = :request",
        ),
        _only("cleared"),
    ),
    "step_started": ((_INTENT,), _intent),
    "step_finished": ((_RESULT,), lambda data, actor: _intent(data, actor) | {"result": "done"}),
    "step_failed": ((_RESULT,), _intent),
    "statement_sent": ((_INTENT,), _intent),
    "statement_finished": ((_RESULT,), _intent),
    "queried": (
        ("INSERT INTO look VALUES (:seq, :at, :actor, :reader, 'looked', :query, :rows)",),
        _only("reader", "query", "rows"),
    ),
    "exported": (
        ("INSERT INTO look VALUES (:seq, :at, :actor, :reader, 'took a copy', :query, :rows)",),
        _only("reader", "query", "rows"),
    ),
}
"""For each kind of event: the statements that it leads to, and what they take out of its data."""

TABLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "request": (
        "Every request: who asked for what, who agreed, how it ran and how it ended.",
        {
            "request": "Its number.",
            "kind": "push, resume, rollback, repair, restore, secrets, terminate or adopt.",
            "target": "Project and environment.",
            "asked_by": "Who asked, as the platform proved it.",
            "asked_at": "When, in UTC.",
            "digest": "SHA-256 of the plan that people approve.",
            "commit_sha": "The commit that it was planned from.",
            "worst_hazard": "The worst level among the plan's hazards.",
            "authors": "Who wrote the commits, and who started the job that asked.",
            "approvals_needed": "How many the environment's own rule asks for.",
            "windows": "When the policy lets a run begin; empty: always.",
            "hotfix": "1: it may pass windows.",
            "emergency": "Why it was asked for as an emergency.",
            "approvals": "How many yeses it got, with those that were carried over.",
            "cleared_at": "When the last yes came before the run began.",
            "cleared_seconds": "From the asking to then.",
            "started_at": "When its run began.",
            "started_by": "Who or what began it.",
            "outside_window": "1: none of its windows was open when it began; empty: it has none.",
            "ended": "How it ended; empty: it has not.",
            "ended_at": "When it ended.",
            "ended_by": "Who or what ended it.",
            "reason": "Why it failed: a code of a closed list.",
            "message": "The sentence that people read at its end.",
            "step": "The step in which it failed.",
            "run_seconds": "From the start of the run to its end.",
            "asked_seq": "The event in which it was asked for.",
            "started_seq": "The event in which its run began.",
            "ended_seq": "The event in which it ended.",
        },
    ),
    "approval": (
        "Every yes of a person to a digest.",
        {
            "seq": "The event.",
            "approver": "Who said yes.",
            "asked_by": "Who had asked.",
            "number": "Which yes it was.",
            "needed": "Of how many.",
            "carried_from": "The request to which it was given first, where it was carried over.",
            "own": "1: by who asked, or wrote one of the commits. The rules refuse that.",
            "after_start": "1: the run had begun already. The rules refuse that.",
        },
    ),
    "refusal": (
        "Everything that was not allowed.",
        {
            "seq": "The event.",
            "actor": "Who tried; of those who were not let in to these pages nobody knows that: who serves them.",
            "word": "What was tried.",
            "reason": "Why not: a code of a closed list.",
            "message": "The answer.",
        },
    ),
    "emergency": (
        "Runs without the approvals that their policy asks for, and their reviews.",
        {
            "seq": "The event.",
            "overrider": "Who let it run.",
            "because": "Why, in their words.",
            "due_at": "Until when others have to look at it.",
            "reviews_needed": "How many have to.",
            "reviews": "How many have.",
            "cleared_at": "When enough had.",
            "cleared_by": "Who was the last of them.",
        },
    ),
    "intent": (
        "What a run was about to do, and what became of it.",
        {
            "seq": "The event before it was done.",
            "result": "What became of it; empty: nobody knows.",
            "result_seq": "The event after.",
        },
    ),
    "change_outside": (
        "Changes of a target that did not come through a request.",
        {"seq": "The event.", "place": "Which of the changes it tells.", "what": "The change."},
    ),
    "policy_change": (
        "Changes of the rules in the configuration.",
        {
            "seq": "The event.",
            "place": "Which of the changes it tells.",
            "rule": "The rule.",
            "old": "Before.",
            "new": "After.",
        },
    ),
    "look": (
        "Who read the log or took a copy of it.",
        {
            "seq": "The event.",
            "actor": "Whose process it was.",
            "reader": "Who was logged in there.",
            "question": "What was asked.",
        },
    ),
}
"""What each table and its columns mean."""
