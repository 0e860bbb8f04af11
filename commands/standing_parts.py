"""What `status` says of how a target stands: the commit that was deployed, what of its branch is not there, changes from
outside, functions, secrets, health, advisors. What could not be asked is told as not known, with why."""

from collections.abc import Mapping
from typing import Any

from commands.health_page import checks_words
from commands.outside_page import outside_line
from commands.page import Code
from commands.page import Line
from commands.page import When
from commands.page_words import joined
from commands.page_words import migrations
from commands.page_words import plural
from ops.at_a_glance import Behind
from ops.at_a_glance import Functions
from ops.at_a_glance import Glance
from ops.at_a_glance import Missing
from ops.deployed import changed_since
from ops.deployed import last_deployed
from ops.health_checked import Checked
from ops.layer import Ops
from ops.supabase.advisors import KIND
from ops.supabase.advisors import Advice
from ops.supabase.advisors import advice_of
from ops.supabase.advisors import finding_words
from ops.targets import Target

Marked = tuple[str, Line]

NAMED = 5
"""So many names stand in one line."""


def standing_lines(ops: Ops, target: Target, seen: Glance) -> list[Marked]:
    """A line for each thing that is known of this target, or was asked for and is not known."""
    lines: list[Marked] = []
    deployed = last_deployed(ops.view, target)
    if deployed is not None:
        lines.append(("deployed", (Code(deployed.commit[:12]), " by ", Code(deployed.request), " ", When(deployed.at))))
    lines += _seen_line(seen, "pending", lambda found: _pending_line(target, found))
    changed = changed_since(ops.view, target)
    if changed is not None:
        lines.append(("drift", ("changed outside, noticed ", When(changed.at), ": ", *outside_line(changed))))
    elif target.settings.drift_every is not None:
        lines.append(("drift", ("no change from outside noticed",)))
    lines += _seen_line(seen, "functions", lambda found: _functions_line(target, found))
    lines += _seen_line(seen, "secrets", _secrets_line)
    lines += _seen_line(seen, "health", _health_line)
    event = ops.view.last(kind=KIND, project=target.project, environment=target.environment)
    advice = advice_of(event)
    if event is not None and advice is not None:
        lines.append(("advisors", (*_advice_line(advice), ", as of ", When(event.at))))
    return lines


def standing_json(ops: Ops, target: Target, seen: Glance) -> dict[str, Any]:
    """The same for programs; null where it was not asked for or is not known, `unknown` says why."""
    deployed = last_deployed(ops.view, target)
    changed = changed_since(ops.view, target)
    behind: Behind | None = seen.found.get("pending")
    missing: Missing | None = seen.found.get("secrets")
    functions: Functions | None = seen.found.get("functions")
    health: tuple[Checked, ...] | None = seen.found.get("health")
    advice = advice_of(ops.view.last(kind=KIND, project=target.project, environment=target.environment))
    return {
        "commit": deployed.commit if deployed else None,
        "deployed_by": deployed.request if deployed else None,
        "branch_commit": behind.commit if behind else None,
        "pending": list(behind.versions) if behind else None,
        "changed_outside_at": changed.at.isoformat() if changed else None,
        "functions_behind": list(functions.behind) if functions else None,
        "functions_not_on_branch": list(functions.not_on_branch) if functions else None,
        "functions_standing": {slug: one.words for slug, one in functions.standing.items()} if functions else None,
        "secrets_missing": list(missing.needed) if missing else None,
        "health": [{**one.to_json(), "state": one.state} for one in health] if health is not None else None,
        "advisors": advice.counts if advice else None,
        "unknown": dict(seen.because),
    }


def is_unwell(seen: Mapping[str, Glance]) -> list[str]:
    """The targets of which a check does not hold, in their order."""
    return [name for name, one in seen.items() if any(check.state == "fails" for check in one.found.get("health", ()))]


def _seen_line(seen: Glance, what: str, line: Any) -> list[Marked]:
    if what in seen.found:
        return [(what, line(seen.found[what]))]
    return [(what, (f"not known: {seen.because[what]}",))] if what in seen.because else []


def _pending_line(target: Target, found: Behind) -> Line:
    where: Line = (f"{target.settings.branch} (", Code(found.commit[:12]), ", as fetched last)")
    if not found.versions:
        return ("all migrations of ", *where, " are there")
    return (f"{migrations(len(found.versions))} of ", *where, ": ", *_names(found.versions))


def _functions_line(target: Target, found: Functions) -> Line:
    """What a push would change, apart from what is told of one by itself: changed outside, or rolled back on purpose."""
    branch = target.settings.branch
    behind = tuple(slug for slug in found.behind if slug not in (*found.standing, *found.not_on_branch))
    told: list[Line] = []
    if behind:
        told.append((f"{plural(len(behind), 'function')} behind {branch}: ", *_names(behind)))
    told += [(Code(slug), f" {one.words}") for slug, one in [*found.standing.items()][:NAMED]]
    if len(found.standing) > NAMED:
        told.append((f"and {len(found.standing) - NAMED} more like these",))
    if found.not_on_branch:
        told.append((f"not on {branch}: ", *_names(found.not_on_branch)))
    if not told:
        return (f"all as in {branch}",)
    return tuple(span for number, line in enumerate(told) for span in (*(("; ",) if number else ()), *line))


def _secrets_line(found: Missing) -> Line:
    if found.needed:
        return ("missing: ", *_names(found.needed))
    return ("none missing", *((" but with a default: ", *_names(found.optional)) if found.optional else ()))


def _health_line(found: tuple[Checked, ...]) -> Line:
    bad = [f"{one.name}: {one.detail}" for one in found if not one.ok]
    more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return (checks_words(found), f" ({'; '.join(bad[:NAMED])}{more})" if bad else "")


def _advice_line(advice: Advice) -> Line:
    counted = ", ".join(f"{count} {level.lower()}" for level, count in sorted(advice.counts.items()))
    new = "; ".join(finding_words(one) for one in advice.new[:2])
    more = f" and {len(advice.new) - 2} more" if len(advice.new) > 2 else ""
    found = f"{plural(advice.count, 'finding')}{f' ({counted})' if counted else ''}"
    return (f"{found}{f'; new: {new}{more}' if new else ''}",)


def _names(names: tuple[str, ...]) -> Line:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (*joined(map(Code, names[:NAMED])), more)
