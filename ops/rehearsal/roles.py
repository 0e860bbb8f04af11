"""The target's roles on a copy: none is a superuser, none reaches files or programs, the rest is as on the target.

All of it is done by the scratch cluster's superuser, with statements made here from names; nothing is taken over from
a dump. The restorer is a role of the copy's making that may become every role of the target; it is gone before a file
runs.
"""

import secrets
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from ops.database import Connection
from ops.rehearsal.target_state import Grant
from ops.rehearsal.target_state import Membership
from ops.rehearsal.target_state import Role
from ops.rehearsal.target_state import Setting
from ops.rehearsal.target_state import Target

FORBIDDEN = frozenset(
    ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "pg_create_subscription")
)
"""Predefined roles that reach files, programs or other servers: nobody on a copy is in them."""


@dataclass(frozen=True)
class Restorer:
    """Who restores: `name` may log in; `helpers` is the role through which every role may create in every schema."""

    name: str
    helpers: str


def make_roles(superuser: Connection, target: Target) -> tuple[str, ...]:
    """Make every role of the target with its memberships; sentences about what is deliberately otherwise."""
    _execute(superuser, (_created(role) for role in target.roles))
    notes = list(_join(superuser, target))
    if target.version < 16:
        _let_creators_manage(superuser, target)
    return tuple(notes)


def make_restorer(superuser: Connection, target: Target, database: str) -> Restorer:
    """The role that restores, owner of the database meanwhile.

    A table's owner must be allowed to create in the table's schema at that moment, which on the target was perhaps long
    ago, or a superuser's doing: so everybody is a helper of the restorer, and helpers may create everywhere.
    """
    mark = secrets.token_hex(8)
    restorer = Restorer(f"countersign_restorer_{mark}", f"countersign_helpers_{mark}")
    name, helpers, place = map(sql.Identifier, (restorer.name, restorer.helpers, database))
    roles = [role.name for role in target.roles]
    statements = [
        sql.SQL("CREATE ROLE {} NOLOGIN").format(helpers),
        sql.SQL("CREATE ROLE {} LOGIN INHERIT BYPASSRLS").format(name),
        *_granted(roles, [name], "INHERIT TRUE, SET TRUE, ADMIN FALSE"),
        *_granted([restorer.helpers], [*map(sql.Identifier, roles), name], "INHERIT TRUE, SET FALSE, ADMIN FALSE"),
        sql.SQL("ALTER DATABASE {} OWNER TO {}").format(place, name),
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(place, helpers),
        sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(helpers),
        sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT CREATE, USAGE ON SCHEMAS TO {}").format(name, helpers),
    ]
    _execute(superuser, statements)
    return restorer


def dismiss(superuser: Connection, restorer: Restorer, target: Target, database: str) -> None:
    """Nothing of the restorer is left: what nobody took over goes to the role that migrates."""
    name, helpers, place = map(sql.Identifier, (restorer.name, restorer.helpers, database))
    acting = sql.Identifier(target.acting)
    statements = [
        sql.SQL("ALTER DATABASE {} OWNER TO {}").format(place, sql.Identifier(target.owner)),
        sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} REVOKE ALL ON SCHEMAS FROM {}").format(name, helpers),
        sql.SQL("REASSIGN OWNED BY {}, {} TO {}").format(name, helpers, acting),
        sql.SQL("DROP OWNED BY {}, {}").format(name, helpers),
        sql.SQL("DROP ROLE {}, {}").format(name, helpers),
    ]
    _execute(superuser, statements)


def endow(superuser: Connection, target: Target, database: str) -> None:
    """The privileges on the database, the settings, and for a superuser of the target what comes nearest to one."""
    statements = [
        *_database_grants(target.grants, database),
        sql.SQL("ALTER ROLE {} LOGIN CONNECTION LIMIT -1 VALID UNTIL 'infinity'").format(sql.Identifier(target.login)),
    ]
    _execute(superuser, statements)
    mighty = {role.name for role in target.roles if role.is_superuser} & {target.login, target.acting}
    others = [role.name for role in target.roles]
    for name in mighty:
        for grant in _granted([other for other in others if other != name], [sql.Identifier(name)], ""):
            _try(superuser, grant)
    for parameter in target.platform.parameters:
        granted = sql.SQL("GRANT SET ON PARAMETER {} TO {}").format(
            sql.Identifier(parameter), sql.Identifier(target.acting)
        )
        _try(superuser, granted)
    _set_up(superuser, target.settings, database)


def _created(role: Role) -> sql.Composable:
    return sql.SQL("CREATE ROLE {} NOSUPERUSER {}").format(sql.Identifier(role.name), sql.SQL(role.attributes))


def _join(superuser: Connection, target: Target) -> Iterator[str]:
    """Every membership under its own grantor where that one may grant it by now, else under the superuser."""
    waiting: list[Membership] = []
    for one in target.memberships:
        if one.role in FORBIDDEN:
            yield f"On the copy {one.member} is no member of {one.role}."
        elif not one.grantor:
            _try(superuser, _membership(one, with_grantor=False))
        else:
            waiting.append(one)
    while waiting:
        refused = [one for one in waiting if not _try(superuser, _membership(one, with_grantor=True))]
        if len(refused) == len(waiting):
            break
        waiting = refused
    for one in waiting:
        _try(superuser, _membership(one, with_grantor=False))


def _membership(one: Membership, *, with_grantor: bool) -> sql.Composable:
    options = sql.SQL("ADMIN {}, INHERIT {}, SET {}").format(
        *(sql.SQL("TRUE" if option else "FALSE") for option in (one.admin, one.inherits, one.may_set))
    )
    grantor = sql.SQL(" GRANTED BY {}").format(sql.Identifier(one.grantor)) if with_grantor else sql.SQL("")
    return sql.SQL("GRANT {} TO {} WITH {}{}").format(
        sql.Identifier(one.role), sql.Identifier(one.member), options, grantor
    )


def _let_creators_manage(superuser: Connection, target: Target) -> None:
    """Before 16, CREATEROLE reached every role that is no superuser; since then only those it has ADMIN for."""
    members = {(one.role, one.member) for one in target.memberships}
    reached = [role.name for role in target.roles if not role.is_superuser]
    for creator in (role.name for role in target.roles if role.may_create_roles and not role.is_superuser):
        for other in reached:
            # What is not named stays as it is, where there is a membership.
            options = "ADMIN TRUE" if (other, creator) in members else "ADMIN TRUE, INHERIT FALSE, SET FALSE"
            if other != creator:
                for grant in _granted([other], [sql.Identifier(creator)], options):
                    _try(superuser, grant)


def _granted(roles: Iterable[str], members: Iterable[sql.Composable], options: str) -> Iterator[sql.Composable]:
    names = sql.SQL(", ").join(map(sql.Identifier, roles))
    if names.as_string(None):
        words = sql.SQL(f" WITH {options}" if options else "")
        yield sql.SQL("GRANT {} TO {}{}").format(names, sql.SQL(", ").join(members), words)


def _database_grants(grants: Sequence[Grant] | None, database: str) -> Iterator[sql.Composable]:
    if grants is None:
        return
    place = sql.Identifier(database)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(place)
    for grant in grants:
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(grant.privilege),
            place,
            sql.Identifier(grant.grantee) if grant.grantee else sql.SQL("PUBLIC"),
            sql.SQL(" WITH GRANT OPTION" if grant.grantable and grant.grantee else ""),
        )


def _set_up(superuser: Connection, settings: Sequence[Setting], database: str) -> None:
    """Settings of roles and of the database, but for those that only a superuser may set."""
    rows = superuser.execute("SELECT name, context FROM pg_catalog.pg_settings").fetchall()
    known = {str(name): str(context) for name, context in rows}
    place = sql.Identifier(database)
    for setting in settings:
        if known.get(setting.name, "user" if "." in setting.name else "") != "user":
            continue
        words = "ROLE {role} IN DATABASE {place}" if setting.of_database else "ROLE {role}"
        if not setting.role:
            words = "DATABASE {place}" if setting.of_database else "ROLE ALL"
        whom = sql.SQL(words).format(role=sql.Identifier(setting.role), place=place)
        # A list of names has to stay one, so the value is not quoted into the statement but taken from the session.
        _try(
            superuser,
            sql.SQL("SELECT pg_catalog.set_config({}, {}, true); ALTER {} SET {} FROM CURRENT").format(
                sql.Literal(setting.name),
                sql.Literal(setting.value),
                whom,
                sql.SQL(".").join(map(sql.Identifier, setting.name.split("."))),
            ),
        )


def _execute(superuser: Connection, statements: Iterable[sql.Composable]) -> None:
    """All or none, in one message."""
    text = ";\n".join(statement.as_string(superuser) for statement in statements)
    if text:
        superuser.execute(text.encode())


def _try(superuser: Connection, statement: sql.Composable) -> bool:
    try:
        superuser.execute(statement.as_string(superuser).encode())
    except psycopg.errors.DatabaseError:
        return False
    return True
