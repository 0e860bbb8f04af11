"""The words: one module each, found by its file name, and how a typed line becomes one of them.

What a word says of itself (its usage, options, page) is read from its source: loading all of them takes most of a
second, which whoever presses Tab or asks for help does not have.
"""

import ast
import importlib
import re
import shlex
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

from ops.errors import OpsError
from ops.errors import Reason
from ops.masking import mask_intake
from ops.people import Actor

if TYPE_CHECKING:
    from commands.reply import Reply
    from ops.layer import Ops


class Front(StrEnum):
    SLACK = "slack"
    TERMINAL = "terminal"
    CI = "ci"


class Group(StrEnum):
    """What somebody has in mind when they look for a word; the order is that of a deploy."""

    ASK = "plan and ask"
    DECIDE = "decide"
    LOOK = "look"
    LOG = "the log"
    SETUP = "set up"


@dataclass(frozen=True)
class Tool:
    """A word for whoever has the shell; no module of this package carries it out for others."""

    usage: str
    summary: str
    group: Group = Group.SETUP


TOOLS = {
    "lint": Tool("lint FILES… [OPTIONS]", "show what is dangerous in migration files; needs no database", Group.ASK),
    "new": Tool("new NAME… [--from-stdin]", "make a migration file whose version nobody else has", Group.ASK),
    "init": Tool("init [OPTIONS]", "write a first configuration and make an empty log"),
    "doctor": Tool("doctor", "say what is wrong with configuration, log, tokens, databases, tools"),
    "demo": Tool("demo [--play] [--port PORT]", "put a Slack, a Postgres and an example project on your desk"),
    "bot": Tool("bot [--http] [--host HOST] [--port PORT]", "serve Slack: in Socket Mode, or over HTTP"),
    "completion": Tool("completion bash|zsh|fish", "print what makes the shell complete words and names"),
    "audit": Tool("audit ACTION [OPTIONS]", "make, check, sign, search, seal and export the log", Group.LOG),
}


@dataclass(frozen=True)
class Said:
    """A word as somebody said it: the arguments that follow it, the options, who, where, and the act's id."""

    word: str
    arguments: tuple[str, ...]
    options: Mapping[str, str]
    actor: Actor
    front: Front
    act: str
    progress: Callable[[str], None] = field(default=lambda _: None, compare=False)

    def one(self, what: str) -> str:
        """The single argument that this word needs. Raises OpsError(BAD_USAGE) that says what is missing."""
        if len(self.arguments) == 1:
            return self.arguments[0]
        article = "an" if what[0] in "aeiou" else "a"
        problem = f"`{self.word}` needs {article} {what}" if not self.arguments else f"`{self.word}` takes one {what}"
        raise OpsError(Reason.BAD_USAGE, f"{problem}.", f"Type `{usage_of(self.word)}`.")


@dataclass(frozen=True)
class Option:
    """A `--name` of a word. `value` is the pattern of what may follow; empty for a flag; `needed` when it must follow.

    `takes` says in words what the value is, `help` in one line what the option does. `choices` is a closed list.
    """

    value: str = ""
    needed: bool = False
    takes: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()

    def is_fit(self, value: str) -> bool:
        """Whether this may be the option's value."""
        return value in self.choices if self.choices else bool(self.value and re.fullmatch(self.value, value))


COMMIT = Option(
    "[0-9a-f]{7,40}",
    needed=True,
    takes="a commit: 7 to 40 of the letters 0-9 and a-f",
    help="a commit of the branch; its newest if not said",
)
"""The option of every word that makes a plan."""

REMOTE = Option(
    "https?://[!-~]{1,300}",
    needed=True,
    takes="the address of the bot's listener, https://…",
    help="ask the bot there, from a CI job that has neither its configuration nor its log",
)
"""The option of the words that CI may say."""


class Word(Protocol):
    """A module of this package that is a word."""

    USAGE: str
    SUMMARY: str
    GROUP: Group
    FRONTS: frozenset[Front]
    OPTIONS: Mapping[str, Option]

    def run(self, ops: "Ops", said: Said) -> "Reply": ...


@dataclass(frozen=True)
class Declared:
    """What a word says of itself; `doc` is its module's docstring."""

    name: str
    usage: str
    summary: str
    group: Group
    fronts: frozenset[Front]
    options: Mapping[str, Option]
    doc: str


_NAME = re.compile(r"[a-z][a-z_]{0,30}")
_SAID_OF_ITSELF = {"USAGE", "SUMMARY", "GROUP", "FRONTS", "OPTIONS"}


class _DeclaredWords(Mapping[str, Declared]):
    """Each module is read when it is asked for: most lines are about one word."""

    def __getitem__(self, name: str) -> Declared:
        found = _declared_word(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        names = sorted(file.stem for file in Path(__file__).parent.glob("*.py"))
        return (name for name in names if _declared_word(name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def declared_words() -> Mapping[str, Declared]:
    """What every word says of itself, in the order of the alphabet, without loading one of them."""
    return _DeclaredWords()


@cache
def _declared_word(name: str) -> Declared | None:
    file = Path(__file__).with_name(f"{name}.py") if _NAME.fullmatch(name) else None
    return _declared(file) if file is not None and file.is_file() else None


def _declared(file: Path) -> Declared | None:
    """What one module says of itself, None when it is no word."""
    source = file.read_text(encoding="utf-8")
    if "\nUSAGE = " not in source:
        return None
    tree = ast.parse(source)
    said: dict[str, Any] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in _SAID_OF_ITSELF:
                said[name] = _value(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name in _SAID_OF_ITSELF:
                said[name] = _value(value)
    return Declared(
        name=file.stem,
        usage=said["USAGE"],
        summary=said["SUMMARY"],
        group=said["GROUP"],
        fronts=said["FRONTS"],
        options=said["OPTIONS"],
        doc=ast.get_docstring(tree) or "",
    )


def _value(node: ast.expr) -> Any:
    """A value written out in the source; only what a word says of itself may be in it."""
    match node:
        case ast.Attribute(value=ast.Name(id="Front"), attr=name):
            return Front[name]
        case ast.Attribute(value=ast.Name(id="Group"), attr=name):
            return Group[name]
        case ast.Call(func=ast.Name(id="frozenset"), args=[ast.Set(elts=found)]):
            return frozenset(map(_value, found))
        case ast.Name(id="COMMIT"):
            return COMMIT
        case ast.Name(id="REMOTE"):
            return REMOTE
        case ast.Call(func=ast.Name(id="Option"), args=given, keywords=named):
            return Option(*map(_value, given), **{str(one.arg): _value(one.value) for one in named})
        case ast.Dict(keys=keys, values=values):
            return {_value(key): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
        case _:
            return ast.literal_eval(node)


class _LoadedWords(Mapping[str, Word]):
    """Each module is loaded when it is asked for."""

    def __getitem__(self, name: str) -> Word:
        word: Word = importlib.import_module(f"commands.{declared_words()[name].name}")
        return word

    def __contains__(self, name: object) -> bool:
        return name in declared_words()

    def __iter__(self) -> Iterator[str]:
        return iter(declared_words())

    def __len__(self) -> int:
        return len(declared_words())


def all_words() -> Mapping[str, Word]:
    """Every word by name, in the order of the alphabet."""
    return _LoadedWords()


def usage_of(word: str) -> str:
    return declared_words()[word].usage


def _meant(said: str, known: Sequence[str], mark: str) -> str:
    """A question that names what was probably meant, or nothing."""
    from ops.targets import nearest  # only a mistake needs it, and the settings that come with it take their time

    near = nearest(said, known)
    return f" Did you mean {mark.format(near)}?" if near else ""


_FORGIVEN = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "—": "--"})


def forgive(text: str) -> str:
    """The line as it was meant: curly quotes straight, long dashes as two, a lone en dash as one."""
    straight = text.translate(_FORGIVEN)
    return re.sub(r"(?<!\S)–(?=[a-z]{2})", "--", straight).replace("–", "-")


_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_NO_QUOTE = "\ue000"
"""Stands for an apostrophe while quotes are read; a private character that nobody types."""


def split_line(text: str) -> list[str]:
    """A typed line as shell-like words; an apostrophe in don't is no quote, and a backslash is only itself.

    Raises OpsError(BAD_USAGE) for an open quote.
    """
    reader = shlex.shlex(_APOSTROPHE.sub(_NO_QUOTE, forgive(text)), posix=True, punctuation_chars=False)
    reader.whitespace_split = True
    reader.commenters = reader.escape = ""
    try:
        return [word.replace(_NO_QUOTE, "'") for word in reader]
    except ValueError:
        if "'" in forgive(text) and '"' not in forgive(text):
            return forgive(text).split()  # an apostrophe at a word's end, as in the users' data
        raise OpsError(
            Reason.BAD_USAGE, "A quote was opened and not closed.", "Close it, or leave the quotes out: push prod."
        ) from None


@dataclass(frozen=True)
class Parsed:
    word: str
    arguments: tuple[str, ...]
    options: Mapping[str, str]


def parse(words: Sequence[str], front: Front) -> Parsed:
    """Words as a command: the word, its arguments and `--options`. Raises OpsError that suggests what was meant."""
    if not words:
        return Parsed("help", (), {})
    if front is Front.SLACK and words[0].lower().lstrip("/") == "audit":
        words = _audit_in_slack(words[1:])
    word = words[0].lower().lstrip("/")
    declared = declared_words().get(word)
    if declared is not None and front in declared.fronts:
        arguments, options = _options(word, words[1:])
        return Parsed(word, arguments, options)
    known = [name for name, one in declared_words().items() if front in one.fronts]
    if declared is None:
        typed = [*known, *TOOLS] if front is Front.TERMINAL else known
        raise OpsError(
            Reason.UNKNOWN_WORD,
            f"There is no word {_said(words[0])!r}.{_meant(word, typed, '`{}`')}",
            f"These are: {', '.join(sorted(typed))}.",
        )
    raise OpsError(
        Reason.NOT_AT_THIS_FRONT,
        f"`{word}` does not work here; it is for the {'terminal' if front is Front.SLACK else 'bot in Slack'}.",
        f"Here you can use: {', '.join(known)}.",
    )


_AUDIT_IN_SLACK = {"query": "history", "export": "export", "evidence": "evidence", "population": "population"}
"""The actions of `audit` that Slack has, and the words that they are there; the others need the host's shell."""


def _audit_in_slack(words: Sequence[str]) -> Sequence[str]:
    """What follows `audit` as a word of its own. Raises OpsError NOT_AT_THIS_FRONT."""
    if words and (word := _AUDIT_IN_SLACK.get(words[0].lower())):
        return (word, *words[1:])
    raise OpsError(
        Reason.NOT_AT_THIS_FRONT,
        "That part of `audit` does not work here; it is for the terminal.",
        f"Here you can use: {', '.join(f'audit {action}' for action in _AUDIT_IN_SLACK)}.",
    )


def _said(text: str) -> str:
    """What somebody typed, as a refusal may repeat it: short, secrets covered. Masked first, for half a token has no mark."""
    return mask_intake(text)[:40]


def _options(word: str, rest: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """`--name value`, `--name=value` and `--name` apart from the arguments."""
    allowed = declared_words()[word].options
    arguments: list[str] = []
    options: dict[str, str] = {}
    waiting = list(rest)
    while waiting:
        part = waiting.pop(0)
        if not part.startswith("--") or part == "--":
            arguments.append(mask_intake(part))  # no word takes a secret, and a refusal repeats what was said
            continue
        name, has_value, value = part[2:].partition("=")
        option = allowed.get(name)
        if option is None:
            raise OpsError(
                Reason.BAD_USAGE,
                f"`{word}` has no option --{_said(name)}.{_meant(name, sorted(allowed), '--{}')}",
                f"Type `{usage_of(word)}`.",
            )
        follows = waiting[0] if waiting and not has_value else ""
        if follows and option.is_fit(follows):
            value = waiting.pop(0)
        if (value and not option.is_fit(value)) or (option.needed and not value):
            raise OpsError(Reason.BAD_USAGE, _unfit(name, option, value or follows), f"Type `{usage_of(word)}`.")
        if follows and not value and _looks_meant(follows, option):
            raise OpsError(Reason.BAD_USAGE, _unfit(name, option, follows), f"Type `{usage_of(word)}`.")
        options[name] = value
    return tuple(arguments), options


def _unfit(name: str, option: Option, value: str) -> str:
    """What an option takes, beside what it was given; what begins with a dash was no value."""
    if not option.takes:
        return f"--{name} takes no value, not {_said(value)!r}."
    given = f", not {_said(value)!r}" if value and not value.startswith("-") else ""
    return f"--{name} takes {option.takes}{given}."


def _looks_meant(follows: str, option: Option) -> bool:
    """Whether what follows an option that may stand alone was meant as its value, such as `--wait 5x`: no word takes
    an argument that begins with a digit."""
    return bool(option.value) and follows[:1].isdigit()
