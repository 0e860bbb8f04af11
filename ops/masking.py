"""Finding secrets in text and covering them, before the text is stored, shown or logged.

What is covered reads `«masked: JWT»`. Lines stay where they are, masking twice changes nothing, and every pattern is
written so that a hostile text costs time in proportion to its length.
"""

import base64
import binascii
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_MASK_BEGINS = "«masked"


@dataclass(frozen=True, slots=True)
class Secret:
    """Characters `start` to `end` of a text are a secret of this kind.

    `role` is the role that a JWT's payload claims (anon, service_role…); empty for all else, or when it cannot be read.
    """

    kind: str
    start: int
    end: int
    role: str = ""


_SLACK_HOOK = r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{8,}"
_JWT = r"eyJ[\w-]{8,300}\.ey[\w-]{8,4000}(?:\.[\w-]{0,2000})?"
_PEM_GAP = r"(?:\s|\\[nr])"
_PEM_LINES = (
    rf"(?:{_PEM_GAP}+(?:[A-Za-z-]+: [\w,-]+|[A-Za-z0-9+/=]{{16,}}))*"
    rf"(?:{_PEM_GAP}+[A-Za-z0-9+/]{{1,15}}={{0,2}}(?=[\s\\]))?"
)
_PEM = (
    rf"-----BEGIN [A-Z0-9 ]{{0,30}}PRIVATE KEY(?: BLOCK)?-----(?:{_PEM_LINES}"
    r"(?:\s|\\[nr])*-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
)
# Kind → pattern. The first that matches at a place wins, so the longer and surer ones stand first.
_TOKENS = {
    "private_key": _PEM,
    "JWT": _JWT,
    "Slack_webhook": _SLACK_HOOK,
    "Slack_token": r"(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{8,}",
    "Supabase_token": r"sbp_(?:oauth_|v0_)?[A-Za-z0-9]{16,}",
    "Supabase_secret_key": r"sb_secret_[\w-]{8,}",
    "GitHub_token": r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}",
    "GitLab_token": r"glpat-[\w-]{16,}",
    "AWS_key": r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "Stripe_key": r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{8,}|whsec_[A-Za-z0-9+/=]{16,}",
    "Google_key": r"AIza[\w-]{35}",
    "API_key": r"(?<![\w-])sk-[A-Za-z0-9_-]{20,}",
    "SendGrid_key": r"SG\.[\w-]{16,64}\.[\w-]{16,}",
    "age_key": r"(?i:AGE-SECRET-KEY-1[0-9A-Z]{20,})",
}
_TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _TOKENS.items()))

# The last group that takes part in these is the secret itself.
_URL_PASSWORD = re.compile(
    r"""(?<=://)[^\s:/?#@'"`<>]{0,200}:([^\s'"`@/]{1,500}(?:@[^\s'"`@/]{1,500}){0,3})@(?=[\w\[.-])"""
)
_BEARER = re.compile(r"\b(?i:bearer)\s{1,3}([A-Za-z0-9._~+/-]{16,}={0,2})")
_CONNECTION_WORD = r"""(?:host|hostaddr|dbname|user|port|sslmode)\s?=\s?[^\s'"]{1,200}"""
_CONNECTION_PASSWORDS = (
    re.compile(
        rf"""\b{_CONNECTION_WORD}(?:\s\w{{1,40}}\s?=\s?[^\s'"]{{1,200}}){{0,6}}\spassword\s?=\s?([^\s'",;()]+)"""
    ),
    re.compile(
        rf"""\bpassword\s?=\s?([^\s'",;()]+)(?=(?:\s\w{{1,40}}\s?=\s?[^\s'"]{{1,200}}){{0,6}}\s{_CONNECTION_WORD})"""
    ),
)
_GENERAL = (
    ("password", _URL_PASSWORD),
    ("token", _BEARER),
    *(("password", pattern) for pattern in _CONNECTION_PASSWORDS),
)

_SQL_GAP = r"(?:\s|--[^\n]*+\n|/\*[^*]{0,1000}\*/)"
# Only E'…' knows backslashes; taking them for escapes elsewhere would cover the SQL behind the literal.
_SQL_LITERAL = r"(?:[eE]'((?:[^'\\]++|''|\\.)++)'|(?:[uU]&)?'((?:[^']++|'')++)')"
_SQL = (
    ("password", re.compile(rf"\b(?i:password){_SQL_GAP}++{_SQL_LITERAL}", re.DOTALL)),
    ("password", re.compile(rf"\b(?i:password){_SQL_GAP}*+(\$(\w*)\$.{{1,2000}}?\$\2\$)", re.DOTALL)),
    ("vault secret", re.compile(rf"\b(?i:create_secret)\s*+\({_SQL_GAP}*+{_SQL_LITERAL}", re.DOTALL)),
    ("vault secret", re.compile(rf"\b(?i:update_secret)\s*+\([^,;]{{1,300}},{_SQL_GAP}*+{_SQL_LITERAL}", re.DOTALL)),
    (
        "setting",
        re.compile(
            rf"""\b(?i:set)\s++"?[\w.]{{0,60}}(?i:secret|password|token|api_?key|service_role|jwt)\w{{0,40}}"?\s*+"""
            rf"(?:=|(?i:to)\b)\s*+{_SQL_LITERAL}",
            re.DOTALL,
        ),
    ),
)

# Names for a value that is filled in elsewhere, as examples and templates have them.
_PLACEHOLDER = re.compile(
    r"\$\{?[A-Z][A-Z0-9_]*\}?|\{\{[\w .-]*\}\}|\[[A-Z _-]*\]|<[^<>]*>|%\w?|[*.xX…]+|[Yy]our[_-][\w-]*"
    r"|(?=.*(?:PASSWORD|TOKEN|KEY|YOUR))[A-Z]+(?:[_-][A-Z]+)+"
)

_ASSIGNED = re.compile(
    r"""(?<![\w])([A-Za-z_][\w.-]{0,200})(=|\s{1,3}=\s{1,3})"""
    r"""("[^"]*+"?|'[^']*+'?|“[^”]*+”?|‘[^’]*+’?|`[^`]*+`?|[^\s"'“‘`]\S*+)"""
)
_ASSIGNED_TO_THE_END = re.compile(
    r"""(?<![\w])([A-Za-z_][\w.-]{0,200})(\s{0,3}=\s{0,3})((?:[^\s«](?:(?!\s[A-Za-z_][\w.-]{0,200}\s{0,3}=)[^\n])*+))"""
)
_BEGINS_ASSIGNED = re.compile(r"\s*[A-Za-z_][\w.-]{0,200}=")
_ABOUT_SECRETS = re.compile(r"\bsecrets?\b", re.IGNORECASE)
_CODE = re.compile(r"(?<![\w./+#])(?<![Rr]-)(?<!\d-)(\d{6,8}|\d{3} \d{3})(?!\w|[:/]|-\w|\.\d| \d{3}\b)")
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def mask(text: str) -> str:
    """The text with tokens, keys and the passwords of URLs and connection strings covered."""
    return _covered(text, find_secrets(text))


def mask_sql(text: str) -> str:
    """As `mask`, and what only SQL says: PASSWORD '…', vault.create_secret('…'), settings named after secrets."""
    return _covered(text, find_sql_secrets(text))


def mask_intake(text: str) -> str:
    """For what people type: also the values of NAME=VALUE, and one-time codes of 6 to 8 digits.

    In a line about secrets, or one that begins with NAME=, a value goes on to the next NAME= or the line's end,
    since it may hold spaces.
    """
    assigned = _ASSIGNED_TO_THE_END if _ABOUT_SECRETS.search(text) or _BEGINS_ASSIGNED.match(text) else _ASSIGNED
    values = [Secret("value", *found.span(3)) for found in assigned.finditer(text) if not _is_masked(found.group(3))]
    codes = [Secret("code", *found.span(1)) for found in _CODE.finditer(text) if not _DATE.fullmatch(found.group(1))]
    return _covered(text, _without_overlap([*values, *find_secrets(text), *codes]))


def find_secrets(text: str) -> tuple[Secret, ...]:
    """The secrets in a text, in order, none inside another. Publishable keys (`sb_publishable_…`) are none."""
    return _without_overlap([*_tokens(text), *_grouped(text, _GENERAL)])


def find_sql_secrets(text: str) -> tuple[Secret, ...]:
    """The secrets in a text of SQL, comments and literals alike."""
    return _without_overlap([*_tokens(text), *_grouped(text, (*_GENERAL, *_SQL))])


def printable(text: str, limit: int = 100) -> str:
    """A foreign name, fit for one line of a message: no control or direction characters, not too long, masked."""
    clean = "".join(letter if unicodedata.category(letter)[0] != "C" else "�" for letter in text[: 4 * limit])
    clean = mask(" ".join(clean.split()))
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _tokens(text: str) -> Iterable[Secret]:
    for found in _TOKEN.finditer(text):
        kind = (found.lastgroup or "").replace("_", " ")
        yield Secret(kind, found.start(), found.end(), _role(found.group()) if kind == "JWT" else "")


def _grouped(text: str, patterns: Iterable[tuple[str, re.Pattern[str]]]) -> Iterable[Secret]:
    for kind, pattern in patterns:
        for found in pattern.finditer(text):
            group = found.lastindex or 0
            if not _is_masked(found.group(group)) and not _PLACEHOLDER.fullmatch(found.group(group)):
                yield Secret(kind, *found.span(group))


def _is_masked(value: str) -> bool:
    return _MASK_BEGINS in value


def _role(token: str) -> str:
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    role = claims.get("role") if isinstance(claims, dict) else None
    return role if isinstance(role, str) else ""


def _without_overlap(secrets: Iterable[Secret]) -> tuple[Secret, ...]:
    """In order; of two that overlap, the one that begins first (of those, the longer) takes in the other."""
    kept: list[Secret] = []
    for secret in sorted(secrets, key=lambda one: (one.start, -one.end)):
        if kept and secret.start < kept[-1].end:
            last = kept[-1]
            kept[-1] = Secret(last.kind, last.start, max(last.end, secret.end), last.role)
        else:
            kept.append(secret)
    return tuple(kept)


def _covered(text: str, secrets: Iterable[Secret]) -> str:
    parts, position = [], 0
    for secret in secrets:
        hidden = text[secret.start : secret.end]
        line_ends = "".join(letter for letter in hidden if letter in "\r\n")
        parts += [text[position : secret.start], f"{_MASK_BEGINS}: {secret.kind}»", line_ends]
        position = secret.end
    return "".join([*parts, text[position:]])
