"""Rules about characters that make a file look other than it is, to a reader or to Postgres."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from pglast import parser

from ops.hazards.model import Act
from ops.hazards.model import Found
from ops.hazards.model import HazardClass
from ops.hazards.model import Level
from ops.hazards.model import rule
from ops.hazards.pending import Pending
from ops.masking import printable
from ops.migrations import Migration

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MARKS = re.compile("[\u200e\u200f\u061c]")
_JOINERS = "\u200c\u200d"
_INVISIBLE = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff\u00ad\u180e\u115f\u1160\u3164\uffa0\U000e0000-\U000e007f]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u0085]")
_CONTROLS = re.compile(r"[\x01-\x08\x0b\x0e-\x1f\x7f\x80-\x84\x86-\x9f]|\r(?!\n)")
_WORD = re.compile(r"[^\W\d]\w*")
# Letters of other scripts that a reader takes for Latin ones.
_LOOKALIKES = set("аеорсухіјѕԁԛԝһАВЕКМНОРСТХУІЈЅ" + "οαρνυικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ")


@dataclass(frozen=True)
class _Places:
    """What Postgres' lexer takes each character for: the starts of its tokens, their ends and names."""

    starts: list[int]
    ends: list[int]
    kinds: list[str]

    def kind(self, text: str, place: int) -> str:
        """`code`, `string`, `comment`; a dollar-quoted body is code."""
        at = bisect_right(self.starts, place) - 1
        if at < 0 or place > self.ends[at]:
            return "code"
        if self.kinds[at] in ("SQL_COMMENT", "C_COMMENT"):
            return "comment"
        if self.kinds[at] in ("SCONST", "USCONST") and text[self.starts[at]] != "$":
            return "string"
        return "code"


def _places(text: str) -> _Places:
    """Positions are the text's own: the lexer takes every letter beyond ASCII as it takes "_"."""
    try:
        tokens = parser.scan(_BEYOND_ASCII.sub("_", text))
    except parser.ParseError:
        return _Places([], [], [])
    return _Places([t.start for t in tokens], [t.end for t in tokens], [t.name for t in tokens])


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _shown(letter: str) -> str:
    return f"U+{ord(letter):04X} ({unicodedata.name(letter, 'a control character').lower()})"


def _by_line(text: str, found: Iterator[tuple[int, str, Level | None]]) -> Iterator[Found]:
    """One finding for each line and message."""
    said: set[tuple[int, str]] = set()
    for place, message, level in found:
        line = _line(text, place)
        if (line, message) not in said:
            said.add((line, message))
            yield Found(message, line, level)


@rule(
    "hidden-direction",
    HazardClass.ENCODING,
    Level.DANGER,
    on=(Migration,),
    caught="select 1; -- \u202e;t elbat pord",
    left_alone="select 'שלום';",
    safe_way="Take the character out; text in another direction needs none in a file.",
)
def hidden_direction(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Characters that turn the direction of what follows, so that a reader sees other SQL than Postgres; a caution
    for mere marks where no letter of such a script stands beside them."""
    text = act.migration.text
    if text.isascii():
        return
    yield from _by_line(
        text, ((f.start(), f"Turns the direction of text by {_shown(f[0])}.", None) for f in _BIDI.finditer(text))
    )
    lonely = (found for found in _MARKS.finditer(text) if not _is_beside_such_letters(text, found.start()))
    marks = ((f.start(), f"Holds an invisible {_shown(f[0])}.", Level.CAUTION) for f in lonely)
    yield from _by_line(text, marks)


def _is_beside_such_letters(text: str, place: int) -> bool:
    """A letter that is written from right to left stands near, as a mark of direction wants."""
    near = text[max(place - 40, 0) : place + 40]
    return any(unicodedata.bidirectional(letter) in ("R", "AL") for letter in _MARKS.sub("", near))


@rule(
    "invisible-character",
    HazardClass.ENCODING,
    Level.DANGER,
    on=(Migration,),
    caught="create index concurrently orders_\u200bnote on orders (note);",
    left_alone="insert into greetings (words) values ('👨‍👩‍👧 می‌خواهم');",
    safe_way="Write the line anew by hand, without copying.",
)
def invisible_character(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Of no width: a danger in names and bodies, which then are others than they seem; a caution in strings and
    comments, save for those that join letters of a script or parts of an emoji."""
    text = act.migration.text
    if text.isascii() or not _INVISIBLE.search(text):
        return
    places = _places(text)

    def found() -> Iterator[tuple[int, str, Level | None]]:
        for match in _INVISIBLE.finditer(text):
            kind = places.kind(text, match.start())
            near = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
            joins = match[0] in _JOINERS and any(not letter.isascii() for letter in near)
            if kind == "code" or not joins:
                where = "a name or body" if kind == "code" else f"a {kind}"
                yield (
                    match.start(),
                    f"Has an invisible {_shown(match[0])} in {where}.",
                    None if kind == "code" else Level.CAUTION,
                )

    yield from _by_line(text, found())


@rule(
    "odd-space",
    HazardClass.ENCODING,
    Level.DANGER,
    on=(Migration,),
    caught="select\u00a01;",
    left_alone="insert into prices (words) values ('12\u00a0€');",
    safe_way="Replace it by a plain space.",
)
def odd_space(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Outside strings and comments, Postgres takes a space that is none of ASCII for a letter of a name."""
    text = act.migration.text
    if text.isascii() or not _SPACES.search(text):
        return
    places = _places(text)
    odd = (found for found in _SPACES.finditer(text) if places.kind(text, found.start()) == "code")
    yield from _by_line(
        text, ((f.start(), f"Has {_shown(f[0])}, which Postgres takes for a letter.", None) for f in odd)
    )


@rule(
    "mixed-scripts",
    HazardClass.ENCODING,
    Level.DANGER,
    on=(Migration,),
    caught="grant select on s\u0430les to authenticated;",
    left_alone="create index concurrently заказы_номер on заказы (номер);",
    safe_way="Write the name anew, in letters of one script.",
)
def mixed_scripts(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Names with letters of two scripts that look alike, such as a Cyrillic а in a Latin name."""
    text = act.migration.text
    if text.isascii() or _LOOKALIKES.isdisjoint(text):
        return
    places = _places(text)

    def found() -> Iterator[tuple[int, str, Level | None]]:
        for match in _WORD.finditer(text):
            word = match[0]
            odd = sorted(_LOOKALIKES.intersection(word))
            is_mixed = odd and any(letter.isascii() and letter.isalpha() for letter in word)
            if is_mixed and places.kind(text, match.start()) == "code":
                yield match.start(), f"Name {printable(word)} has {_shown(odd[0])} among Latin letters.", None

    yield from _by_line(text, found())


@rule(
    "control-character",
    HazardClass.ENCODING,
    Level.DANGER,
    on=(Migration,),
    caught="select 1; -- \x1b[2K\x1b[1A",
    left_alone="select 1;\r\nselect 2;\r\n",
    safe_way="Take it out; in a string, write chr(27) or an E'' literal.",
)
def control_character(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Characters that move a terminal's cursor or cover what was printed; a carriage return alone is one."""
    text = act.migration.text
    controls = (f for f in _CONTROLS.finditer(text))
    yield from _by_line(text, ((f.start(), f"Has the control character U+{ord(f[0]):04X}.", None) for f in controls))


@rule(
    "cannot-be-stored",
    HazardClass.ENCODING,
    Level.DANGER,
    on=(Migration,),
    caught="select '\x00';",
    left_alone="select 'é';",
    safe_way="Save the file as UTF-8 without NUL characters.",
)
def cannot_be_stored(act: Act, pending: Pending) -> Iterator[str | Found]:
    """UTF-16, bytes that are not UTF-8, NUL. Such a file is refused as well."""
    for refusal in act.migration.refusals:
        if refusal.code in ("utf16", "not_utf8", "nul_byte"):
            yield Found(refusal.message, refusal.line)


@rule(
    "mixed-line-ends",
    HazardClass.ENCODING,
    Level.INFO,
    on=(Migration,),
    caught="\ufeffselect 1;",
    left_alone="select 1;\r\nselect 2;\r\n",
    safe_way="Save the file as UTF-8 with one kind of line end and without a byte order mark.",
)
def mixed_line_ends(act: Act, pending: Pending) -> Iterator[str | Found]:
    """Some lines end in CRLF and others do not, or there is a byte order mark: editors disagree about the file."""
    content = act.migration.content
    if content.startswith(b"\xef\xbb\xbf"):
        yield "Begins with a byte order mark."
    windows = content.count(b"\r\n")
    if windows and windows != content.count(b"\n"):
        yield f"{windows} lines end in CRLF, the others in LF."
