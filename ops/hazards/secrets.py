"""Rules about secrets in files, which are in everybody's copy of the repository for ever."""

import re
from collections.abc import Iterator

from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import find_sql_secrets
from ops.migrations import Migration

_PUBLIC_ROLE = "anon"
_PROJECT_URL = re.compile(r"https?://([a-z]{20})\.(?:supabase\.(?:co|in|net)|functions\.supabase\.co)", re.IGNORECASE)


@rule(
    "secret-in-file",
    HazardClass.SECRETS,
    Level.FORBIDDEN,
    on=(Migration,),
    caught="-- sbp_0123456789abcdef0123456789abcdef01234567",
    left_alone="select vault.create_secret(current_setting('app.key'), 'key');",
    safe_way="Take it out, replace it where it is in use, and read it from the vault or a setting at run time.",
)
def secret_in_file(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Tokens, keys and passwords, in statements and comments. The key of the role anon is public by design."""
    text = act.migration.text
    for secret in find_sql_secrets(text):
        if secret.role != _PUBLIC_ROLE:
            said = " with the role service_role" if secret.role == "service_role" else ""
            article = "an" if secret.kind[0] in "aA" else "a"
            yield Found(f"Holds {article} {secret.kind}{said}.", text.count("\n", 0, secret.start) + 1)


@rule(
    "anon-key-in-file",
    HazardClass.SECRETS,
    Level.CAUTION,
    on=(Migration,),
    caught="select 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ';",
    left_alone="select 'anon';",
    safe_way="Read it from the vault or a setting; each environment has its own.",
)
def anon_key_in_file(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Public, but of one project: the same file runs on the others too."""
    text = act.migration.text
    for secret in find_sql_secrets(text):
        if secret.role == _PUBLIC_ROLE:
            yield Found("Holds the anon key of one project.", text.count("\n", 0, secret.start) + 1)


@rule(
    "project-url",
    HazardClass.SECRETS,
    Level.CAUTION,
    on=(Migration,),
    caught="select 'https://abcdefghijklmnopqrst.supabase.co/functions/v1/send';",
    left_alone="select 'https://supabase.com/docs';",
    safe_way="Read the address from the vault or a setting; each environment has its own.",
)
def project_url(act: Act, pending: Pending) -> Iterator[str | Found]:
    """One environment's address in a file that runs on all of them."""
    text = act.migration.text
    for found in _PROJECT_URL.finditer(text):
        yield Found(f"Names the address of project {found[1].lower()}.", text.count("\n", 0, found.start()) + 1)
