"""Signs that a target can still be changed past us: deploy jobs in the repository, other ways in that the database shows.

None of them proves that somebody went that way, and their absence does not prove that nobody can: what is seen is said.
"""

import re
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from datetime import timedelta

import psycopg

from audit import Query
from audit import View
from ops.database import Connection
from ops.masking import printable
from ops.targets import Target

JOB_FILES = (
    ".github/workflows/",
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    "bitbucket-pipelines.yml",
    "azure-pipelines.yml",
    "Jenkinsfile",
)
"""Where deploy jobs stand: a path that ends in / is a folder."""

_DEPLOYS = re.compile(
    r"supabase\s+(?:--\S+\s+)*(?:db\s+(?:push|reset)|migration\s+(?:up|down|repair)|functions\s+deploy|secrets\s+(?:set|unset))"
)
_KEYS = re.compile(r"\b(?:SUPABASE_DB_PASSWORD|SUPABASE_ACCESS_TOKEN)\b")
_SHOWN = 5
_LINE_LETTERS = 2_000  # a job's line is never longer, and looking through a hostile one takes its length squared
RECENT = timedelta(days=30)


@dataclass(frozen=True)
class Sign:
    """One sign: where it was seen, and what it lets somebody do."""

    where: str
    found: str


def signs_in_jobs(files: Mapping[str, bytes]) -> Iterator[Sign]:
    """Lines of deploy jobs that change a project, or that hold the keys to it. `files`: content by path."""
    for path, content in sorted(files.items()):
        found = 0
        for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
            words = line.strip()[:_LINE_LETTERS]
            match = None if words.startswith(("#", "//")) else _DEPLOYS.search(words) or _KEYS.search(words)
            if match is None:
                continue
            found += 1
            if found > _SHOWN:
                yield Sign(printable(path), "and more lines like these")
                break
            is_key = _KEYS.fullmatch(match.group()) is not None
            what = f"holds {match.group()}" if is_key else f"runs `{' '.join(match.group().split())}`"
            yield Sign(f"{printable(path)}:{number}", f"a job {what}: it needs no approval of ours")


def signs_in_database(connection: Connection) -> Iterator[Sign]:
    """What the database itself shows of other ways in. What the role may not read gives no sign."""
    for question, words in _QUESTIONS:
        try:
            with connection.transaction():
                rows = connection.execute(question).fetchall()
        except psycopg.Error:
            continue
        names = [printable(str(row[0])) for row in rows if row[0] is not None]
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield Sign("database", words.format(names=", ".join(names[:_SHOWN]) + more))


def signs_in_log(view: View, target: Target, now: datetime) -> Iterator[Sign]:
    """Changes of the last 30 days that were noticed and not made by us."""
    query = Query(
        project=target.project, environment=target.environment, kinds=("changed_outside",), since=now - RECENT
    )
    events = view.find(query)
    if events:
        times = "once" if len(events) == 1 else f"{len(events)} times"
        yield Sign("log", f"changed outside of Countersign {times} in 30 days, last on {events[-1].at:%Y-%m-%d}")


# Each: a query for names, and the sentence about them.
_QUESTIONS = (
    (
        # Where we come in by such a login ourselves, ours cannot be told from others.
        "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname LIKE 'cli\\_login\\_%' "
        "AND session_user NOT LIKE 'cli\\_login\\_%' ORDER BY 1",
        "the role {names} is there: somebody's access token lets the Supabase CLI in without the database password",
    ),
    (
        """
        SELECT DISTINCT application_name FROM pg_catalog.pg_stat_activity
        WHERE pid <> pg_catalog.pg_backend_pid() AND datname = pg_catalog.current_database()
          AND (application_name = '@effect/sql-pg' OR application_name ILIKE 'supabase%cli%')
        """,
        "the Supabase CLI is connected at this moment ({names})",
    ),
    (
        "SELECT version FROM supabase_migrations.schema_migrations WHERE created_by IS NOT NULL ORDER BY 1 DESC",
        "not from files but through Supabase's API or an assistant came {names}",
    ),
    (
        """
        SELECT r.rolname FROM pg_catalog.pg_roles r
        WHERE r.rolcanlogin AND r.rolname <> current_user
          AND NOT r.rolname LIKE ANY (ARRAY['supabase%', 'cli\\_login\\_%', 'pg\\_%', 'authenticator', 'dashboard_user',
                                            'pgbouncer', 'postgres'])
          AND (r.rolsuper OR pg_catalog.pg_has_role(r.oid, (SELECT nspowner FROM pg_catalog.pg_namespace
                                                            WHERE nspname = 'public'), 'USAGE')
               OR pg_catalog.has_schema_privilege(r.oid, 'public', 'CREATE'))
        ORDER BY 1
        """,
        "these other logins may change the schema: {names}",
    ),
)
