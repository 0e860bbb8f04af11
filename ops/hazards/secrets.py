"""Rules about secrets in files, which are in everybody's copy of the repository for ever."""

import re
import string
from collections.abc import Iterator

from ops.hazards.foreign import ref_of_key
from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import printable
from ops.migrations import Migration

PUBLIC_ROLE = "anon"
_LITERAL = r"'((?:[^'\n]|'')+)'"
_CRYPTED = re.compile(rf"\bcrypt\s*\(\s*{_LITERAL}(?:::\w+)?\s*,", re.IGNORECASE)
_HASHED = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(?:id?|d)\$v=\d+\$[^\s']{20,300}")
# A name that speaks of a secret, and close behind it a literal of a key's look: long, letters and digits, no spaces.
_NAMED = re.compile(
    r"""(?:secret|passw|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|credential)[\w.-]{0,60}"""
    r"""['"]?\s{0,3}(?:,|=>|:=|=|:)\s{0,3}[eE]?['"]([A-Za-z0-9_+/=.-]{20,500})['"]"""
)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)  # unlike lower(), it keeps every place
_NAME_BEFORE = re.compile(r"[\w.-]{0,60}\Z")
_LETTER_AND_DIGIT = re.compile(r"(?=.*[A-Za-z])(?=.*\d.*\d)")
_A_NAME = re.compile(r"[a-z0-9]+(?:[_.-][a-z0-9]+){2,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def line_of(migration: Migration, place: int) -> int:
    """The line, from 1, of a character of a file."""
    return migration.text.count("\n", 0, place) + 1


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
    for secret in pending.secrets(act.migration):
        if secret.role != PUBLIC_ROLE:
            said = " with the role service_role" if secret.role == "service_role" else ""
            article = "an" if secret.kind[0] in "aA" else "a"
            yield Found(f"Holds {article} {secret.kind}{said}.", line_of(act.migration, secret.start))


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
    """Public, but of one project: the same file runs on the others too. Of another project, `foreign-project` says it."""
    for secret in pending.secrets(act.migration):
        if secret.role == PUBLIC_ROLE:
            ref = ref_of_key(act.migration.text[secret.start : secret.end])
            if not (ref and pending.project_ref and ref != pending.project_ref):
                yield Found("Holds the anon key of one project.", line_of(act.migration, secret.start))


@rule(
    "password-in-seed",
    HazardClass.SECRETS,
    Level.DANGER,
    on=(Migration,),
    caught="insert into members (name, hash) values ('ann', crypt('correct horse', gen_salt('bf')));",
    left_alone="update members set hash = crypt(given_password, gen_salt('bf')) where false;",
    safe_way="Make users by the Auth API or an invitation; everybody with the repository knows this password.",
)
def password_in_seed(act: Act, pending: Pending) -> Iterator[str | Found]:
    """crypt() of a literal, and hashes of passwords."""
    text = act.migration.text
    if "crypt" in text.lower():
        for found in _CRYPTED.finditer(text):
            yield Found("Holds a password that crypt() hashes.", line_of(act.migration, found.start()))
    if "$2" in text or "$argon2" in text:
        for found in _HASHED.finditer(text):
            yield Found("Holds the hash of a password.", line_of(act.migration, found.start()))


@rule(
    "looks-like-a-secret",
    HazardClass.SECRETS,
    Level.CAUTION,
    on=(Migration,),
    caught="insert into settings (name, value) values ('mail_api_key', 'q8Zr2LxV0bNw71TyPf5KcJ3h');",
    left_alone="insert into settings (name, value) values ('mail_api_key_name', 'billing-mail-v2-production');",
    safe_way="If it is one: take it out, replace it where it is in use, and read it from the vault.",
)
def looks_like_a_secret(act: Act, pending: Pending) -> Iterator[str | Found]:
    """A literal that looks like a key, behind a name that speaks of one."""
    text = act.migration.text
    for found in _NAMED.finditer(text.translate(_LOWER)):
        start, end = found.span(1)
        value = text[start:end]
        is_known = any(one.start < end and start < one.end for one in pending.secrets(act.migration))
        is_key = _LETTER_AND_DIGIT.match(value) and not _A_NAME.fullmatch(value.lower()) and _is_mixed(value)
        if is_key and not is_known:
            before = _NAME_BEFORE.search(text, max(found.start() - 60, 0), found.start())
            name = f"{before[0] if before else ''}{re.split('[^a-z0-9_.-]', found[0])[0]}"
            yield Found(f"What stands behind {printable(name)} looks like a secret.", line_of(act.migration, start))


def _is_mixed(value: str) -> bool:
    """It has as many different letters as a key of chance would have."""
    return len(set(value)) >= min(12, len(value) // 2)
