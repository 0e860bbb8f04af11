"""What fits while somebody types at a shell: words, options, environments, requests; and the scripts that ask for it.

It only reads, says nothing when something is missing, and is quick: somebody waits for it between two keys.
"""

import argparse
import re
import tomllib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.page import Page
from commands.reply import Reply
from commands.screen import COLOURS
from commands.words import TOOLS
from commands.words import Front
from commands.words import declared_words

REQUESTS_SHOWN = 20
"""So many of the newest requests are offered where any will do; elsewhere only the open ones."""

REQUESTS_READ = 200

LOG = "var/audit.db"
"""Where the log is when the configuration does not say."""

FILES = ":files"
"""What is printed instead of candidates where the shell is to complete a file."""

_SAFE = re.compile("[A-Za-z0-9@._/:=+-]+")
"""What is offered: nothing that a shell would take for anything but letters."""

_NAME = re.compile("[A-Za-z0-9]")
"""How a name that is offered begins: one with a dash in front would be an option to whoever presses Tab and Enter."""

Fit = tuple[str, str]
"""What may be typed, and what it stands for (may be empty)."""

ParserOf = Callable[[str], argparse.ArgumentParser]


@dataclass(frozen=True)
class Typed:
    """A line up to the cursor: `current` is the word at the cursor, `value_of` the option whose value that is.

    `glued` is the beginning of the current word that a candidate must repeat, as in `--color=al`.
    """

    before: tuple[str, ...]
    current: str
    value_of: str = ""
    glued: str = ""


def completions(words: Sequence[str], parser_of: ParserOf, config: Callable[[str | None], Path]) -> list[Fit] | str:
    """What fits at the last of these words (which may be empty), or FILES. Reads only; raises whatever reading raises."""
    typed = _typed(words)
    named = _positional(typed.before)
    word = named[0].lower() if named else ""
    if typed.value_of == "config" or (word == "lint" and not typed.value_of and not typed.current.startswith("-")):
        return FILES
    path = config(_given(words, "config"))
    fits = _fits(typed, word, named[1:], parser_of, path)
    wanted = typed.current.casefold()
    return [
        (typed.glued + value, _harmless(about))
        for value, about in fits
        if value.casefold().startswith(wanted) and _SAFE.fullmatch(value)
    ]


def _harmless(about: str) -> str:
    """Words in one line, without what a terminal would obey: they may come from the configuration or the log."""
    return "".join(letter for letter in " ".join(about.split()) if letter.isprintable())


def _fits(typed: Typed, word: str, arguments: Sequence[str], parser_of: ParserOf, path: Path) -> Iterable[Fit]:
    if typed.value_of == "color":
        return [(one, "") for one in COLOURS]
    if word in TOOLS:
        return _of_tool(parser_of(word), typed, arguments, path)
    if word and word not in declared_words():
        return []
    if typed.value_of:
        option = declared_words()[word].options.get(typed.value_of) if word else None
        return [(one, "") for one in option.choices] if option else []
    if typed.current.startswith("-"):
        return [*(_options_of_word(word) if word else []), *_EVERYWHERE]
    if not word:
        return _all_words()
    takes = _placeholders(declared_words()[word].usage)
    wanted = takes[len(arguments)] if len(arguments) < len(takes) else ""
    match wanted:
        case "WORD":
            return _all_words()
        case "ENVIRONMENT" | "ENVIRONMENT|all":
            return targets(path, typed.current)
        case "R-NUMBER":
            return requests(path, any_will_do=word in {"show", "evidence"})
        case _:
            return []


_EVERYWHERE = [
    ("--config", "the configuration file"),
    ("--json", "one object, for programs"),
    ("--color", "auto, always or never"),
    ("--help", "the page of this word"),
]


def _all_words() -> list[Fit]:
    found = [(name, one.summary) for name, one in declared_words().items() if Front.TERMINAL in one.fronts]
    return found + [(name, tool.summary) for name, tool in TOOLS.items()]


def _options_of_word(word: str) -> list[Fit]:
    return [(f"--{name}", option.help) for name, option in declared_words()[word].options.items()]


def _placeholders(usage: str) -> list[str]:
    """What follows a word, one name for each argument: `push ENVIRONMENT [--wait [DURATION]]` takes an ENVIRONMENT."""
    without_options = re.sub(r"\[?--[a-z-]+( \[?[A-Z]+\]?)?\]?", "", usage)
    return [part.strip("[]…") for part in without_options.split()[1:]]


def _of_tool(parser: argparse.ArgumentParser, typed: Typed, arguments: Sequence[str], path: Path) -> Iterable[Fit]:
    """What a tool takes, as its parser says; `audit query` has a parser of its own."""
    actions = [action for action in parser._actions if not action.option_strings]
    for action in actions:
        if isinstance(action, argparse._SubParsersAction) and arguments and arguments[0] in action.choices:
            return _of_tool(action.choices[arguments[0]], typed, arguments[1:], path)
    if typed.value_of:
        named = [one for one in parser._actions if f"--{typed.value_of}" in one.option_strings]
        return [fit for action in named for fit in _values(action, typed.current, path)]
    if typed.current.startswith("-"):
        own = [(text, one.help or "") for one in parser._actions for text in one.option_strings if text[:2] == "--"]
        return [*(one for one in own if one[0] != "--help"), *_EVERYWHERE]
    return _values(actions[len(arguments)], typed.current, path) if len(arguments) < len(actions) else []


def _values(action: argparse.Action, current: str, path: Path) -> list[Fit]:
    """What an argument of a tool may be: its closed list, or what its name says."""
    if isinstance(action, argparse._SubParsersAction):
        return [(one.dest, one.help or "") for one in action._choices_actions]
    if action.choices:
        return [(str(one), "") for one in action.choices]
    match action.dest:
        case "kind":
            from audit import KINDS

            return [(kind, "") for kind in sorted(KINDS)]
        case "target":
            return targets(path, current)
        case "request":
            return requests(path, any_will_do=True)
        case _:
            return []


def targets(path: Path, current: str) -> list[Fit]:
    """The configured environments: by their short names where there is one project and no slash was typed."""
    projects = _configured(path)["projects"]
    short = len(projects) == 1 and "/" not in current
    return [
        (environment if short else f"{project}/{environment}", f"{project}/{environment}, {rules.get('branch', '')}")
        for project, tables in projects.items()
        for environment, rules in tables["environments"].items()
        if _NAME.match(project) and _NAME.match(environment)
    ]


def requests(path: Path, *, any_will_do: bool) -> list[Fit]:
    """The open requests, newest first; or the newest whatever became of them."""
    from audit import Query
    from audit import Reader

    log = path.parent / _configured(path).get("audit", {}).get("path", LOG)
    reader = Reader(log, leaves_no_trace=True)
    is_open = set(reader.open_requests())
    asked = reader.find(Query(kinds=("requested",), newest_first=True, limit=REQUESTS_READ))
    fits = [
        (event.request or "", f"{event.project}/{event.environment}, {'open' if event.request in is_open else 'over'}")
        for event in asked
    ]
    return fits[:REQUESTS_SHOWN] if any_will_do else [fit for fit in fits if fit[0] in is_open]


def _configured(path: Path) -> dict[str, Any]:
    """The configuration, unchecked: names are all that is wanted, and checking it all takes longer than the rest."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _typed(words: Sequence[str]) -> Typed:
    """The words up to the cursor, taken apart. Bash gives `--color=al` as three words, other shells as one."""
    *before, current = words or [""]
    if current == "=" and before and before[-1].startswith("--"):
        return Typed(tuple(before[:-1]), "", before[-1][2:])
    if len(before) >= 2 and before[-1] == "=":
        return Typed(tuple(before[:-2]), current, before[-2][2:])
    name, has_value, value = current.partition("=")
    if has_value and name.startswith("--"):
        return Typed(tuple(before), value, name[2:], f"{name}=")
    if before and before[-1].startswith("--") and not _stands_alone(before[-1][2:]) and current[:1] != "-":
        return Typed(tuple(before[:-1]), current, before[-1][2:])
    return Typed(tuple(before), current)


def _stands_alone(name: str) -> bool:
    """Whether an option may be followed by something that is not its value."""
    loose = {name for word in declared_words().values() for name, option in word.options.items() if not option.needed}
    return name in loose | {"json", "help", "version", "http", "play", "markdown"}


def _given(words: Sequence[str], option: str) -> str | None:
    """The value of an option that was typed, in whatever form."""
    joined = re.sub(" ?= ?", "=", " ".join(words[:-1])) if words else ""
    found = re.search(rf"(?:^|\s)--{option}[= ](\S+)", joined)
    return found[1] if found else None


def _positional(words: Sequence[str]) -> list[str]:
    """What is neither an option nor the value of one that needs it."""
    found: list[str] = []
    waiting: Iterator[str] = iter(words)
    for word in waiting:
        if not word.startswith("-"):
            found.append(word)
        elif "=" not in word and not _stands_alone(word[2:]):
            next(waiting, None)
    return found


def script_reply(shell: str) -> Reply:
    """What a shell has to read so that it asks us; it goes to standard output as it is."""
    return Reply(Page(f"The completion of {shell}"), {"shell": shell, "script": _SCRIPTS[shell]})


_BASH = r"""# Completion of countersign for bash. It only asks the command itself.
_countersign() {
    local line current="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ "$line" == ":files" ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "${current#=}")
            return
        fi
        COMPREPLY+=("${line%%$'\t'*}")
    done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _countersign countersign
"""

_ZSH = r"""#compdef countersign
# Completion of countersign for zsh. It only asks the command itself.
_countersign() {
    local line
    local -a found described
    found=("${(@f)$("${words[1]/#\~/$HOME}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "${found[1]}" == ":files" ]]; then
        _files
        return
    fi
    for line in "${found[@]}"; do
        [[ -n "$line" ]] && described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe -V 'countersign' described
}
if [[ "${funcstack[1]}" == "_countersign" ]]; then
    _countersign "$@"
else
    compdef _countersign countersign
fi
"""

_FISH = r"""# Completion of countersign for fish. It only asks the command itself.
function __countersign_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l found ($tokens[1] __complete $tokens[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (string replace -r '^--[a-z-]+=' '' -- "$current")
        return
    end
    printf '%s\n' $found
end
complete -c countersign -f -a '(__countersign_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
