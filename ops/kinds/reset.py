"""Emptying an environment that is there to be thrown away: what is the project's own goes, and with it its history.

Every row that the platform keeps (users, objects, jobs, secrets) stays. Afterwards the branch can be pushed anew.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import psycopg

from ops.database import connect
from ops.database import connection_parameters
from ops.database import place
from ops.database import target_failed
from ops.emptying import Counted
from ops.emptying import Owned
from ops.emptying import drop_sql
from ops.emptying import read_counts
from ops.emptying import read_owned
from ops.errors import NothingToDoError
from ops.errors import OpsError
from ops.errors import Reason
from ops.fingerprint import read_fingerprint
from ops.history import HistoryRow
from ops.history import read_history
from ops.kinds.kind import Kind
from ops.layer import Ops
from ops.layer import Progress
from ops.layer import may_request_now
from ops.migration import Effect
from ops.people import Actor
from ops.policy import refused
from ops.proposing import Proposal
from ops.proposing import propose
from ops.proposing import read_scripts_of
from ops.proposing import what_changed_since
from ops.requests import Request
from ops.scripts import NO_VERSION
from ops.scripts import Script
from ops.setting_values import LOGIN_SCHEME
from ops.targets import Target
from ops.targets import all_targets

NAMED = 12
"""So many things of a kind are named in a sentence; the statements name all of them."""


def reset_proposal(ops: Ops, target: Target, actor: Actor, progress: Progress = lambda _: None) -> Proposal:
    """What a reset of this target would drop, before anybody asks for it. Reads only.

    Raises NothingToDoError for one that is empty; OpsError: NOT_ALLOWED unless it is `disposable`, and no other
    environment is the same database or project; what asking the target raises.
    """
    may_request_now(ops, target, actor).or_raise()
    _check_disposable(target)
    progress(f"looking at {target.name}")
    with closing(connect(target.database_url(), purpose=f"look at {target.name}")) as connection:
        try:
            rows = read_history(connection)
            owned, counts = read_owned(connection), read_counts(connection)
            fingerprint = read_fingerprint(connection, project_ref=target.settings.project_ref, history=rows)
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    if not owned and not rows:
        raise NothingToDoError(
            f"{target.name} has nothing of the project in it: there is nothing to reset.",
            f"`push {target.environment}` runs the migrations.",
        )
    scripts = _scripts(owned, rows)
    return Proposal(
        kind="reset",
        target=target,
        title="reset",
        commit="",
        fingerprint=fingerprint,
        scripts=scripts,
        migrations=read_scripts_of(ops, target, "", scripts),
        does=(
            *_drops(owned),
            *(
                [f"Empties the migration history, {_rows(len(rows))}: every file of the branch is pending again."]
                * bool(rows)
            ),
            "Leaves the platform's schemas (auth, storage, vault, cron…) with every row in them, roles, and what other "
            "roles own.",
        ),
        loses=tuple(_losses(counts)),
        facts={"tables": len(counts)},
    )


def request_reset(ops: Ops, proposal: Proposal, actor: Actor, act: str) -> Request:
    """Ask for it. Raises OpsError as `propose` does."""
    return propose(ops, proposal, actor, act)


def what_changed(ops: Ops, request: Request, progress: Progress) -> list[str]:
    """As for other scripts; and that the target may still be thrown away, and holds no more rows than were shown."""
    target = ops.target_of(request)
    _check_disposable(target)
    changed = what_changed_since(ops, request, progress)
    with closing(connect(target.database_url(), purpose=f"look at {request.id}")) as connection:
        try:
            losses = _losses(read_counts(connection))
        except psycopg.Error as error:
            raise target_failed(target.name, error) from error
    return changed or ([] if losses == request.plan["loses"] else ["the rows on the target"])


def _check_disposable(target: Target) -> None:
    """Raise OpsError(NOT_ALLOWED) unless this target may be thrown away."""
    if not target.settings.disposable:
        refused(
            Reason.NOT_ALLOWED,
            f"{target.name} is not there to be thrown away: its configuration does not say `disposable = true`.",
            "Only an environment that nobody has to approve for may say so.",
        ).or_raise()
    for other in all_targets(target.all_settings):
        if other.name != target.name and not other.settings.disposable and _is_same(target, other):
            refused(
                Reason.NOT_ALLOWED,
                f"{target.name} is the same database or Supabase project as {other.name}, which is not disposable.",
                "Give it one of its own.",
            ).or_raise()


def _is_same(one: Target, other: Target) -> bool:
    """Whether two environments lead to the same place, as far as the configuration tells."""
    if one.settings.project_ref is not None and one.settings.project_ref == other.settings.project_ref:
        return True
    if LOGIN_SCHEME in (one.settings.database_url[:9], other.settings.database_url[:9]):
        return one.settings.database_url == other.settings.database_url  # else the project says which database it is
    try:
        theirs = place(connection_parameters(other.database_url()))
    except OpsError:
        return one.settings.database_url == other.settings.database_url  # where its secret is not ours to read
    return place(connection_parameters(one.database_url())) == theirs


def _scripts(owned: Sequence[Owned], rows: Sequence[HistoryRow]) -> tuple[Script, ...]:
    """What is dropped goes in one transaction; then each row of the history, which says meanwhile what was there."""
    drops = Script(NO_VERSION, "reset", "reset.sql", Effect.KEEPS, sql=drop_sql(owned))
    taken_out = [
        Script(one.version, one.name or "", f"{one.version}_{one.name or ''}.sql", Effect.REMOVES, row=_bare(one))
        for one in rows
    ]
    return (*([drops] if owned else []), *taken_out)


def _bare(row: HistoryRow) -> HistoryRow:
    return row._replace(statements=None)


def _drops(owned: Sequence[Owned]) -> list[str]:
    found = []
    for kind, count in Counter(one.kind for one in owned).items():
        names = [one.name for one in owned if one.kind == kind]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        found.append(f"Drops {count} {_plural(kind, count)}: {', '.join(names[:NAMED])}{more}.")
    return found


def _plural(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _losses(counts: Sequence[Counted]) -> list[str]:
    """The rows that go, the largest tables first."""
    filled = [one for one in counts if one.rows]
    if not filled:
        return ["No rows: every table is empty."]
    more = f"; and {len(filled) - NAMED} more tables have rows" if len(filled) > NAMED else ""
    said = ", ".join(f"{one.table} {_count(one)}" for one in filled[:NAMED])
    return [f"All rows, and nothing brings them back: {said}{more}."]


def _count(one: Counted) -> str:
    return f"more than {one.rows:,} rows" if one.is_more else _rows(one.rows)


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


KIND = Kind(what_changed=what_changed)
