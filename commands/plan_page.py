"""The page of a plan: what would run on a target, the worst first, and what stands in the way."""

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from commands.changes_parts import CHANGES_SHOWN
from commands.changes_parts import changes_parts
from commands.function_parts import functions_part
from commands.function_parts import work_text
from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Span
from commands.page import Strong
from commands.page import Tone
from commands.page_words import SENTENCE_LETTERS
from commands.page_words import hint_line
from commands.page_words import joined
from commands.page_words import migrations
from commands.page_words import person
from commands.page_words import plural
from commands.page_words import shortened
from commands.rehearsal_parts import RULES_SAY_OFF
from commands.rehearsal_parts import Room
from commands.rehearsal_parts import rehearsal_parts
from ops.approving import PREFIX_LENGTH
from ops.errors import OpsError
from ops.errors import Reason
from ops.hazards import HazardClass
from ops.hazards import Level
from ops.hazards.safe_ways import SAFE_WAYS
from ops.masking import mask_sql
from ops.plan import Plan
from ops.rehearsal.report import Outcome
from ops.rules import class_rules
from ops.rules import has_more_rules
from ops.rules import rules_of
from ops.rules import says_nothing

FILES_SHOWN = 10
HAZARDS_SHOWN = 8
WAYS_SHOWN = 3
"""So many safe ways stand on a card, each once: a list of more lines would lose some of them in Slack."""

NOTES_SHOWN = 5
LINES_SHOWN = 20
SQL_LETTERS = 110

RULES_SHOWN = 5

ROOM = Room(each=6, slowest=3, unseen=None)
"""Of what a rehearsal showed: whoever asks for a plan has more room than a card, and no list of everything."""

LEVELS = tuple(level.value for level in reversed(Level))
"""The levels of hazards, the worst first."""

DANGERS = frozenset({"forbidden", "danger"})
"""The levels that nobody may overlook: a page with one of them is a warning."""

CLASSES = tuple(each.value for each in HazardClass)


def plan_page(plan: Plan) -> Page:
    """What would run on a target, its hazards, and what stands in the way."""
    blocked = plan.blocks()
    hazards = [hazard.to_json() for hazard in plan.hazards]
    everything: Line = (Code(f"countersign plan {plan.target.environment} --json"), " lists all")
    failed = _fails(plan)
    # What keeps a push out is said once: by the error with its excerpt, or by the sentence that there was no rehearsal.
    reason = blocked.reason if blocked is not None else None
    rehearsal = rehearsal_parts(plan.rehearsal, ROOM, why_none=_why_not_rehearsed(plan))
    rehearsal = [] if reason is Reason.REHEARSAL_IMPOSSIBLE else rehearsal
    body: list[Part] = [
        *_blocked_part(None if reason is Reason.REHEARSAL_FAILED else blocked),
        *(rehearsal if failed else []),
        *([] if plan.is_empty else hazards_part(hazards, HAZARDS_SHOWN, everything)),
        *([] if failed else rehearsal),
        *_changes_part(plan),
        *_problems_part(plan),
        *files_part([{"filename": one.filename} for one in plan.pending], FILES_SHOWN, everything),
        *functions_part([one.to_json() for one in plan.functions], FILES_SHOWN, everything),
        *_notes_part(plan),
        *_sql_part(plan),
    ]
    return Page(_headline(plan, blocked), _facts(plan, blocked), body, _next(plan, blocked), tone=_tone(plan, blocked))


def _why_not_rehearsed(plan: Plan) -> str:
    """Why nothing was tried where people decide; where nobody does, a plan without a rehearsal is what is expected."""
    return RULES_SAY_OFF if plan.pending and plan.policy.get("rehearsal") == "off" and _asks_people(plan) else ""


def _asks_people(plan: Plan) -> bool:
    return bool(plan.policy["approvals"] or plan.policy.get("rules"))


def _changes_part(plan: Plan) -> list[Part]:
    if plan.rehearsal is None or plan.rehearsal.outcome is not Outcome.PASSED:
        return []
    everything: Line = (Command(f"diff {plan.target.environment}"), " shows all")
    return changes_parts(plan.rehearsal.changes, CHANGES_SHOWN, everything, plan.rehearsal.changes_left_out)


def _headline(plan: Plan, blocked: OpsError | None) -> str:
    if blocked is not None:
        return f"Plan for {plan.target.name}: a push would be refused"
    if plan.is_empty:
        return f"{plan.target.name}: nothing to do"
    fails = "fails on a copy, " if _fails(plan) else ""
    return f"Plan for {plan.target.name}: {fails}{work_text(len(plan.pending), len(plan.deployed))} pending"


def _fails(plan: Plan) -> bool:
    return plan.rehearsal is not None and plan.rehearsal.outcome is Outcome.FAILED


def _tone(plan: Plan, blocked: OpsError | None) -> Tone:
    if blocked is not None:
        return "bad"
    if plan.is_empty:
        return "good"
    if _fails(plan):
        return "bad"
    return "warning" if any(hazard.level.value in DANGERS for hazard in plan.hazards) else "plain"


def _facts(plan: Plan, blocked: OpsError | None) -> list[tuple[str, Line]]:
    facts: list[tuple[str, Line]] = []
    if blocked is not None:
        facts.append(("Pending", (work_text(len(plan.pending), len(plan.deployed)),)))
    if not plan.is_empty:
        rules = class_rules(plan.policy, [hazard.to_json() for hazard in plan.hazards])
        facts.append(("Needs", _needs(plan)))
        facts += class_needs(rules)
    if plan.quiet is not None:
        facts.append(("Quiet", (plan.quiet.words,)))
    facts.append(("Already applied", (migrations(plan.applied),)))
    facts.append(("Plan", (Code(plan.digest[:PREFIX_LENGTH]),)))
    # The title last, since it is somebody's words and may run from right to left.
    facts.append(("Commit", (Code(plan.commit.sha[:12]), f" on {plan.target.settings.branch}: {plan.commit.title}")))
    return facts


def _needs(plan: Plan) -> Line:
    """All that it takes, what classes of hazards ask for with it; by whom those want a yes stands below."""
    rules = rules_of(plan.policy, [hazard.to_json() for hazard in plan.hazards], ())
    if says_nothing(plan.policy, rules):
        return ("a rule: every one was skipped",)
    if not rules:
        return ("no approval: it runs at once",)
    words: list[Span] = []
    for rule in rules:
        words += [" and " if words else "", f"{plural(rule.approvals, 'approval')} by "]
        words += [*joined(map(person, rule.approvers)), f" ({rule.name})" if has_more_rules(rules) else ""]
    return tuple(word for word in words if word)


def class_needs(
    rules: Mapping[str, Mapping[str, Any]], missing: Collection[str] | None = None
) -> list[tuple[str, Line]]:
    """What the policy asks for because of classes of hazards. `missing`: those that certain people must still agree to;
    None where nobody was asked yet."""
    facts: list[tuple[str, Line]] = []
    for name, rule in rules.items():
        words: list[Span] = [plural(rule["approvals"], "approval")] if rule["approvals"] else []
        if rule["approvers"]:
            words += [" and " if words else "", "a yes of ", *joined(map(person, rule["approvers"]), " or ")]
            words += [] if missing is None else [", still missing" if name in missing else ", given"]
        facts.append((f"{name} needs", tuple(word for word in words if word)))
    return facts


def _next(plan: Plan, blocked: OpsError | None) -> Line:
    environment = plan.target.environment
    if blocked is not None:
        return ("mend that, then look again with ", Command(f"plan {environment}"), ".")
    if plan.is_empty:
        return ()
    if _fails(plan):
        asks = (Command(f"push {environment}"), " asks for it all the same, and it will probably fail.")
        return ("mend the file, then look again with ", Command(f"plan {environment}"), ". ", *asks)
    slack = plan.target.all_settings.slack
    where = "; the terminal shows the whole SQL." if slack and slack.sql == "hash" else _IN_THE_THREAD
    return ("ask for it with ", Command(f"push {environment}"), where)


_IN_THE_THREAD = "; the whole SQL is then in the thread of its card."


def _blocked_part(blocked: OpsError | None) -> list[Part]:
    if blocked is None:
        return []
    parts: list[Part] = [Paragraph((Strong("In the way: "), blocked.message))]
    return [*parts, Paragraph((Strong("To mend it: "), *hint_line(blocked.hint)))] if blocked.hint else parts


def hazards_text(hazards: Sequence[Mapping[str, Any]]) -> str:
    """How many of each level, the worst first: `1 danger, 3 cautions`."""
    counts = Counter(str(one["level"]) for one in hazards)
    return ", ".join(_counted(counts[level], level) for level in LEVELS if counts[level])


def _counted(count: int, level: str) -> str:
    return plural(count, level) if level in {"danger", "caution"} else f"{count:,} {level}"


def is_dangerous(hazards: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of them is a danger or worse; a level that only another version knows counts as the worst."""
    return any(one["level"] in DANGERS or one["level"] not in LEVELS for one in hazards)


def worst_hazard(hazards: Sequence[Mapping[str, Any]], letters: int = SENTENCE_LETTERS) -> str:
    """The worst of a plan's hazards in a few words, of so many letters of its sentence: `danger: it drops a column`."""
    if not hazards:
        return "no hazards"
    worst = ranked_hazards(hazards)[0]
    more = f", and {len(hazards) - 1} more" if len(hazards) > 1 else ""
    return f"{worst['level']}: {shortened(str(worst['message']), letters)}{more}"


def hazards_part(
    hazards: Sequence[Mapping[str, Any]],
    most: int | None,
    everything: Line,
    *,
    scripts: Mapping[str, str] | None = None,
) -> list[Part]:
    """The worst hazards, each with its level, rule and place. `most` None: all of them; `everything`: where all are.

    `scripts`: what is no push says here by version how its scripts are called. Safe ways are left out then, since they
    are advice for whoever writes a migration.
    """
    if not hazards:
        return [Paragraph((Strong("Hazards: "), "none found"))]
    ranked = ranked_hazards(hazards)
    shown, rest = ranked[:most], ranked[len(ranked[:most]) :]
    lines: list[Line] = []
    marks: list[str] = []
    ways: set[str] = set()
    for one in shown:
        # The message last, since it names what others named, and that may run from right to left.
        version = str(one["version"])
        place = (
            f" at {version}:{one['line']}"
            if scripts is None
            else f" in {scripts.get(version, version)}, line {one['line']}"
        )
        lines.append((f"{one['rule']}{place if version else ''}: {one['message']}",))
        marks.append(str(one["level"]))
        way = SAFE_WAYS.get(str(one["rule"]), "") if one["level"] in DANGERS and scripts is None else ""
        if way and way not in ways and (most is None or len(ways) < WAYS_SHOWN):
            ways.add(way)
            lines.append((way,))
            marks.append("safe way")
    if rest:
        lines.append((f"{rules_text(rest)}; ", *everything))
        marks.append("more")
    return [Listing(f"Hazards: {hazards_text(hazards)}", lines, marks)]


def ranked_hazards(hazards: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The worst first; of each level the first of every rule, so that many of one kind hide none of another."""
    seen: Counter[tuple[str, str]] = Counter()
    ranks = []
    for number, one in enumerate(hazards):
        kind = (str(one["level"]), str(one["rule"]))
        ranks.append((_place(LEVELS, kind[0]), seen[kind], _place(CLASSES, str(one["class"])), number))
        seen[kind] += 1
    return [hazards[number] for *_, number in sorted(ranks)]


def _place(order: Sequence[str], word: str) -> int:
    """Where it stands; a word that only another version knows stands first, where nobody overlooks it."""
    return order.index(word) if word in order else 0


def rules_text(hazards: Sequence[Mapping[str, Any]]) -> str:
    """How many of which rule, the most frequent first: `190 table-without-rls, 2 drop-column`."""
    counts = Counter(str(one["rule"]) for one in hazards).most_common()
    words = [f"{count} {rule}" for rule, count in counts[:RULES_SHOWN]]
    others = sum(count for _, count in counts[RULES_SHOWN:])
    return ", ".join([*words, *([f"{others} of other rules"] if others else [])])


def files_part(
    files: Sequence[Mapping[str, Any]], most: int | None, everything: Line, noun: str = "migration"
) -> list[Part]:
    """The files in the order in which they run, with the hash where there is one. `most` None: all of them."""
    if not files:
        return []
    shown = files[:most]
    lines: list[Line] = [(*_hash_of(one), str(one["filename"])) for one in shown]
    if len(files) > len(shown):
        lines.append((f"and {len(files) - len(shown)} more; ", *everything))
    title = plural(len(files), noun)
    return [Listing(f"{title}, in this order" if len(files) > 1 else title, lines)]


def _hash_of(file: Mapping[str, Any]) -> tuple[Span, ...]:
    return (f"{str(file['sha256'])[:12]}  ",) if "sha256" in file else ()


def _problems_part(plan: Plan) -> list[Part]:
    problems = plan.problems
    lines: list[Line] = [(problem.message,) for problem in problems[:NOTES_SHOWN]]
    if len(problems) > NOTES_SHOWN:
        lines.append((f"and {len(problems) - NOTES_SHOWN} more",))
    return [Listing("History and files differ", lines)] if lines else []


def _notes_part(plan: Plan) -> list[Part]:
    notes = [f"{one.filename}: {note}" for one in plan.pending for note in one.notes]
    notes += [f"{name} is skipped: {why}" for name, why in plan.skipped.items()]
    lines: list[Line] = [(note,) for note in notes[:NOTES_SHOWN]]
    if len(notes) > NOTES_SHOWN:
        lines.append((f"and {len(notes) - NOTES_SHOWN} more",))
    return [Listing("Worth knowing", lines)] if lines else []


def _sql_part(plan: Plan) -> list[Part]:
    """The first lines of the SQL, each file under its name; only the files that are shown are read for secrets."""
    if not plan.pending:
        return []
    lines: list[str] = []
    for line in _sql_lines(plan):
        if len(lines) == LINES_SHOWN:
            return [Source(f"SQL, the first {LINES_SHOWN} lines", "\n".join(lines))]
        lines.append(line if len(line) <= SQL_LETTERS else f"{line[:SQL_LETTERS]}…")
    return [Source("SQL", "\n".join(lines))]


def _sql_lines(plan: Plan) -> Iterator[str]:
    for number, one in enumerate(plan.pending):
        yield from (*([""] if number else []), f"-- {one.filename}")
        yield from mask_sql(one.text).strip().splitlines()
