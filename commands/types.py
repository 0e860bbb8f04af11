"""`types dev`: the TypeScript types of an environment's database, as Supabase makes them.

Supabase reads the schema as it is there and writes the types; the project's `types` setting says which file of the
repository holds them. `--write` puts them into that file of your working tree, `--check` compares it with them and ends with
1 when it is stale, for a CI job. White space, quotes and semicolons make no difference, so a formatter may have been at it.

It takes a Supabase project with a token: the environment's `project_ref`, and `access_token`. Without a database, a plan
sees as well that the names which pending migrations make are not in the committed types, and says so as a hazard.

Examples:
    types dev              print them
    types dev --write      put them where they belong
    types dev --check      are the committed ones stale?

See also: plan, lint, list
"""

from commands.page import Page
from commands.reply import Reply
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import Said
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.supabase.client import need_api
from ops.targets import find_target

USAGE = "types ENVIRONMENT [--write|--check]"
SUMMARY = "the TypeScript types of an environment's database; write them, or find stale ones"
GROUP = Group.LOOK
FRONTS = frozenset({Front.TERMINAL})
OPTIONS = {
    "write": Option(help="put them into the file that the project's `types` names"),
    "check": Option(help="compare that file with them; exit code 1 when it is stale"),
}

ALWAYS = "graphql_public"
"""What the Supabase CLI writes beside the schemas that are exposed."""


def run(ops: Ops, said: Said) -> Reply:
    target = find_target(ops.settings, said.one("environment"))
    if {"write", "check"} <= set(said.options):
        raise OpsError(Reason.BAD_USAGE, "Either write the types, or check them.", f"Type `{USAGE}`.")
    path = target.project_settings.types
    if path is None and said.options:
        raise OpsError(
            Reason.BAD_CONFIG,
            f"The project {target.project} does not say which file holds its types.",
            f'Add types = "src/database.types.ts" under [projects.{target.project}].',
        )
    schemas = target.settings.exposed_schemas or ("public",)
    said.progress("asking Supabase for the types")
    with need_api(target) as api:
        text = api.types_typescript(tuple(dict.fromkeys((*schemas, ALWAYS))))
    data = {"target": target.name, "types": text, "path": path, "schemas": list(schemas)}
    return Reply(Page(f"The types of {target.name}"), data)
