"""The words: one module each, found by its file name, and how a typed line becomes one of them."""

import importlib
import pkgutil
import re
import shlex
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from functools import cache
from typing import Protocol

import commands
from commands.reply import Reply
from ops.errors import OpsError
from ops.errors import Reason
from ops.layer import Ops
from ops.masking import mask_intake
from ops.people import Actor
from ops.targets import nearest


class Front(StrEnum):
    SLACK = "slack"
    TERMINAL = "terminal"


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
        problem = f"`{self.word}` needs {what}" if not self.arguments else f"`{self.word}` takes one {what}"
        raise OpsError(Reason.BAD_USAGE, f"{problem}.", f"Type `{usage_of(self.word)}`.")


@dataclass(frozen=True)
class Option:
    """A `--name` of a word. `value` is the pattern of what may follow; empty for a flag; `needed` when it must follow."""

    value: str = ""
    needed: bool = False


class Word(Protocol):
    """A module of this package that is a word."""

    USAGE: str
    SUMMARY: str
    FRONTS: frozenset[Front]
    OPTIONS: Mapping[str, Option]

    def run(self, ops: Ops, said: Said) -> Reply: ...


@cache
def all_words() -> Mapping[str, Word]:
    """Every word by name, in the order of the alphabet: each module of this package that has `run`."""
    found = {}
    for module in pkgutil.iter_modules(commands.__path__):
        loaded = importlib.import_module(f"commands.{module.name}")
        if hasattr(loaded, "USAGE"):
            found[module.name] = loaded
    return found


def usage_of(word: str) -> str:
    return all_words()[word].USAGE


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
    word = words[0].lower().lstrip("/")
    known = [name for name, module in all_words().items() if front in module.FRONTS]
    if word not in all_words():
        near = nearest(word, known)
        raise OpsError(
            Reason.UNKNOWN_WORD,
            f"There is no word {_said(words[0])!r}." + (f" Did you mean `{near}`?" if near else ""),
            f"These are: {', '.join(known)}.",
        )
    if word not in known:
        raise OpsError(
            Reason.NOT_AT_THIS_FRONT,
            f"`{word}` does not work here; it is for the {'terminal' if front is Front.SLACK else 'bot in Slack'}.",
            f"Here you can use: {', '.join(known)}.",
        )
    arguments, options = _options(word, words[1:])
    return Parsed(word, arguments, options)


def _said(text: str) -> str:
    """What somebody typed, as a refusal may repeat it: short, secrets covered. Masked first, for half a token has no mark."""
    return mask_intake(text)[:40]


def _options(word: str, rest: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """`--name value`, `--name=value` and `--name` apart from the arguments."""
    allowed = all_words()[word].OPTIONS
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
            near = nearest(name, sorted(allowed))
            raise OpsError(
                Reason.BAD_USAGE,
                f"`{word}` has no option --{_said(name)}." + (f" Did you mean --{near}?" if near else ""),
                f"Type `{usage_of(word)}`.",
            )
        if not has_value and option.value and waiting and re.fullmatch(option.value, waiting[0]):
            value = waiting.pop(0)
        if (value and not re.fullmatch(option.value, value)) or (option.needed and not value):
            raise OpsError(Reason.BAD_USAGE, f"--{name} does not take {_said(value)!r}.", f"Type `{usage_of(word)}`.")
        options[name] = value
    return tuple(arguments), options
