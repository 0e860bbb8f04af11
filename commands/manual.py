"""The page of a word or a tool: who may, what happens, its options, how it ends, examples; and all of them as a document.

It is made from what the word says of itself, so that a new word stays one file.
"""

import argparse
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace

from commands.page import Code
from commands.page import Command
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Span
from commands.page import Strong
from commands.page import Table
from commands.page_words import joined
from commands.tool_docs import TOOL_DOCS
from commands.words import TOOLS
from commands.words import Declared
from commands.words import Front
from commands.words import Group
from commands.words import Option
from commands.words import declared_words

EVERYWHERE = (
    ("--config PATH", "the configuration; $COUNTERSIGN_CONFIG or countersign.toml if not said"),
    ("--json", "one object on standard output, for programs"),
    ("--color WHEN", "auto, always or never; auto heeds NO_COLOR, FORCE_COLOR and what the output is"),
    ("--help", "this page"),
)
"""The options that every word and tool has at the terminal."""

EXIT_STATUS = (
    ("0", "done; nothing to do; or a request that waits for people"),
    ("1", "failed, stopped or interrupted; or a check found something"),
    ("2", "bad usage or configuration, or no log: nothing was done"),
    ("3", "refused by policy; rejected, cancelled or superseded"),
    ("4", "waited in vain: --wait ran out, or the request expired"),
    ("5", "busy: locked, or somebody else's run: nothing was done"),
    ("130", "stopped with Ctrl-C; what was asked for stands"),
)
"""How a command ends; the contract is in docs/design.md."""


@dataclass(frozen=True)
class Manual:
    """What a word or a tool says of itself, taken apart. `options` and `examples` are pairs of what and what for."""

    name: str
    usage: str
    summary: str
    group: Group
    paragraphs: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    examples: tuple[tuple[str, str], ...]
    see_also: tuple[str, ...]
    is_for_slack_alone: bool = False


def word_manual(word: Declared) -> Manual:
    """The manual of a word, from its module."""
    options = tuple((_flag(name, word.usage), _option_help(option)) for name, option in word.options.items())
    found = Manual(word.name, word.usage, word.summary, word.group, *_read(word.doc, options))
    return replace(found, is_for_slack_alone=Front.TERMINAL not in word.fronts)


def tool_manual(name: str, parser: argparse.ArgumentParser) -> Manual:
    """The manual of a tool; its options are those of its parser."""
    tool = TOOLS[name]
    return Manual(name, tool.usage, tool.summary, tool.group, *_read(TOOL_DOCS[name], tuple(_of_parser(parser))))


def _read(
    doc: str, options: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...], tuple[tuple[str, str], ...], tuple[str, ...]]:
    """A docstring's paragraphs, the options, the examples, and what to see also."""
    paragraphs: list[str] = []
    examples: list[tuple[str, str]] = []
    see_also: list[str] = []
    for block in re.split(r"\n[ \t]*\n", doc.strip()):
        if block.startswith("Examples:"):
            parted = [re.split(r" {2,}", line.strip(), maxsplit=1) for line in block.splitlines()[1:]]
            examples += [(one[0], one[-1]) for one in parted]
        elif block.startswith("See also:"):
            see_also += block.removeprefix("See also:").replace(",", " ").split()
        else:
            paragraphs.append(" ".join(block.split()))
    lead = paragraphs[0].partition(": ")[2] if paragraphs and paragraphs[0].startswith("`") else "".join(paragraphs[:1])
    return (lead[:1].upper() + lead[1:], *paragraphs[1:]), options, tuple(examples), tuple(see_also)


def _flag(name: str, usage: str) -> str:
    """An option with its value, as the usage writes it."""
    found = re.search(rf"--{re.escape(name)}( \[?[a-z|]*[A-Z]+\]?)?", usage)
    value = (found[1] or "") if found else ""
    return f"--{name}{value.replace(']', '') + ']' if '[' in value else value.rstrip(']')}"


def _option_help(option: Option) -> str:
    takes = ", ".join(option.choices) or option.takes
    return f"{option.help} ({takes})" if takes else option.help


def _of_parser(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, str]]:
    """Every argument of a tool, and of its actions."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {one.dest: one.help or "" for one in action._choices_actions}
            for name, actions in action.choices.items():
                yield f"{before}{name}", summaries[name]
                yield from _of_parser(actions, f"{before}{name} ")
        elif "--help" not in action.option_strings:
            value = "|".join(map(str, action.choices)) if action.choices else (action.metavar or action.dest.upper())
            parts = [*action.option_strings[:1], *([str(value)] if action.nargs != 0 else [])]
            yield before + " ".join(parts), action.help or ""


def manual_page(manual: Manual, front: Front) -> Page:
    """The page of one word or tool: in Slack what it takes to use it, at the terminal as a manual has it."""
    headline = f"{manual.name}: {manual.summary}"
    also = joined(Command(f"help {name}") for name in manual.see_also)
    if front is Front.SLACK:
        short = [Paragraph((Command(manual.usage),)), *_short(manual)]
        return Page(headline, body=short, next=("see also ", *also, "."))
    body: list[Part] = [Listing("Synopsis", [(_typed(manual, manual.usage),)]), Paragraph((Strong("Description:"),))]
    body += [Paragraph(_line(words)) for words in manual.paragraphs]
    body.append(_pairs("Options", "Option", "What it does", (*manual.options, *EVERYWHERE)))
    body.append(_pairs("Exit status", "Code", "Meaning", EXIT_STATUS))
    examples = [((_typed(manual, command),), (words,)) for command, words in manual.examples]
    body += [Table("Examples", ("Type", "To"), examples), Paragraph((Strong("See also: "), *also))]
    return Page(headline, body=body)


def _typed(manual: Manual, words: str) -> Span:
    """Words to type, as the terminal shows them: with what goes before them where they are for Slack alone."""
    return Code(f"/migrate {words}") if manual.is_for_slack_alone else Command(words)


def _short(manual: Manual) -> Iterator[Part]:
    yield from (Paragraph(_line(words)) for words in manual.paragraphs)
    if manual.options:
        yield Listing("Options", [(Code(flag), f"  {words}") for flag, words in manual.options])
    if manual.examples:
        yield Listing("Examples", [(Command(command), f"  {words}") for command, words in manual.examples])


def _pairs(title: str, first: str, second: str, pairs: Iterable[tuple[str, str]]) -> Table:
    return Table(title, (first, second), [((Code(one),), (words,)) for one, words in pairs])


def manual_json(manual: Manual) -> dict[str, object]:
    """The same for programs."""
    return {
        "word": manual.name,
        "usage": manual.usage,
        "summary": manual.summary,
        "description": "\n\n".join(manual.paragraphs),
        "options": [{"option": flag, "help": words} for flag, words in manual.options],
        "examples": [{"command": command, "help": words} for command, words in manual.examples],
    }


def overview_page() -> Page:
    """`countersign --help`: every word and tool, by what somebody has in mind."""
    body: list[Part] = []
    for group, usages in _grouped().items():
        rows: list[tuple[Line, Line]] = [((Command(usage),), (summary,)) for usage, summary in usages.items()]
        body.append(Table("", (group.value.capitalize(), ""), rows))
    small: Line = ("countersign help WORD or countersign WORD --help is the page of one word.",)
    return Page("countersign WORD … [--config PATH] [--json] [--color WHEN]", body=body, small=small)


def usages() -> dict[str, str]:
    """The same for programs: every usage and what it does."""
    return {usage: words for said in _grouped().values() for usage, words in said.items()}


def _grouped() -> Mapping[Group, Mapping[str, str]]:
    """Usages and what they do, of everything that serves the terminal, by group."""
    found: dict[Group, dict[str, str]] = {group: {} for group in Group}
    for word in declared_words().values():
        if Front.TERMINAL in word.fronts:
            found[word.group][word.usage] = word.summary
    for tool in TOOLS.values():
        found[tool.group][tool.usage] = tool.summary
    return found


def _line(words: str) -> Line:
    """Text whose `backticks` mark what is to be read letter by letter."""
    parts = re.split("`([^`]+)`", words)
    return tuple(Code(part) if number % 2 else part for number, part in enumerate(parts) if part)


def words_document(manuals: Iterable[Manual]) -> str:
    """docs/words.md: the page of every word and tool."""
    known = sorted(manuals, key=lambda one: (list(Group).index(one.group), one.name))
    lines = [
        "# Words",
        "",
        "Every word and tool, as `countersign help WORD` shows it. Printed by `python docs/make_words.py > docs/words.md`.",
        "In Slack the words begin with `/migrate`, at the terminal with `countersign`.",
    ]
    for group in Group:
        lines += ["", f"## {group.value.capitalize()}"]
        for manual in (one for one in known if one.group is group):
            lines += _section(manual)
    lines += ["", "## Options that all have at the terminal", "", "| option | what it does |", "| --- | --- |"]
    lines += [f"| `{flag}` | {words} |" for flag, words in EVERYWHERE]
    lines += ["", "## How a command ends", "", "| exit status | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {words} |" for code, words in EXIT_STATUS]
    return "\n".join(lines) + "\n"


def _section(manual: Manual) -> list[str]:
    lines = ["", f"### {manual.name}", "", "```", manual.usage, "```"]
    for words in manual.paragraphs:
        lines += ["", words]
    if manual.options:
        lines += ["", "| option | what it does |", "| --- | --- |"]
        lines += [f"| `{_cell(flag)}` | {_cell(words)} |" for flag, words in manual.options]
    widest = max(len(command) for command, _ in manual.examples)
    lines += ["", "```", *(f"{command.ljust(widest)}   # {words}" for command, words in manual.examples), "```"]
    return [*lines, "", f"See also: {', '.join(f'[{name}](#{name})' for name in manual.see_also)}."]


def _cell(words: str) -> str:
    return words.replace("|", "\\|")
