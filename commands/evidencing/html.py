"""Chapters as one HTML file that needs nothing else: no script, no address, nothing loaded. For screens and for printing."""

from collections.abc import Sequence
from html import escape

from commands.page import Code
from commands.page import Command
from commands.page import Difference
from commands.page import Line
from commands.page import Listing
from commands.page import Page
from commands.page import Paragraph
from commands.page import Part
from commands.page import Source
from commands.page import Span
from commands.page import Strong
from commands.page import Table
from commands.page import When
from commands.page import Who
from commands.screen import printable

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1b1f; background: #fff; }
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 66rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 2px solid #1b1b1f; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p, ul, dl { margin: .4rem 0 .8rem; }
ul { padding-left: 1.25rem; }
dl { display: grid; grid-template-columns: minmax(7rem, 12rem) 1fr; gap: .2rem 1rem; }
dt { color: #55555e; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #d6d6dd; }
th, td, time { overflow-wrap: break-word; }
td code { overflow-wrap: anywhere; }
td code.who { overflow-wrap: break-word; }
time { white-space: nowrap; }
th { background: #f1f1f5; white-space: nowrap; }
td { min-width: 4rem; }
td:last-child { min-width: 12rem; }
.many td:first-child { white-space: nowrap; }
code, pre { font: .85em/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
pre { background: #f6f6f9; border: 1px solid #d6d6dd; padding: .75rem; overflow-x: auto; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.mark { display: inline-block; min-width: 5rem; color: #3c3c44; }
nav ol { columns: 2; padding-left: 1.5rem; margin: .5rem 0 0; }
a { color: #0b4f9e; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .4rem; } nav ol { columns: 1; } }
@media print {
  @page { size: A4; margin: 18mm 15mm; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } thead { display: table-header-group; }
  nav { display: none; } .wide, pre { overflow: visible; } a { color: inherit; text-decoration: none; }
}
"""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def report_html(title: str, chapters: Sequence[Page]) -> str:
    """The whole document. Texts from anywhere may be in the chapters: none is read as markup."""
    parts = [_chapter(number, page) for number, page in enumerate(chapters)]
    listed = "".join(f'<li><a href="#c{number}">{_text(one.headline)}</a></li>' for number, one in enumerate(chapters))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{_text(title)}</h1>\n"
        f'<nav aria-label="Chapters"><ol>{listed}</ol></nav></header>\n<main>\n{"".join(parts)}</main>\n</body>\n</html>\n'
    )


def _chapter(number: int, page: Page) -> str:
    facts = "".join(f"<dt>{_text(name)}</dt><dd>{_line(line)}</dd>\n" for name, line in page.facts)
    body = "".join(map(_part, page.body))
    listed = f"<dl>\n{facts}</dl>\n" if facts else ""
    return f'<section id="c{number}">\n<h2>{_text(page.headline)}</h2>\n{listed}{body}</section>\n'


def _part(part: Part) -> str:
    match part:
        case Paragraph(line):
            return f"<p>{_line(line)}</p>\n"
        case Listing(title, lines, marks):
            marked = [f'<span class="mark">[{_text(mark)}]</span> ' for mark in marks] or [""] * len(lines)
            items = "".join(f"<li>{mark}{_line(line)}</li>\n" for mark, line in zip(marked, lines, strict=True))
            return f"{_title(title)}<ul>\n{items}</ul>\n"
        case Source(title, text) | Difference(title, text):
            return f"{_title(title)}<pre>{_text(text)}</pre>\n"
        case Table(title, columns, rows):
            head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
            cells = "".join(f"<tr>{''.join(f'<td>{_line(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
            many = ' class="many"' if len(columns) > 2 else ""
            grid = f"<table{many}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{cells}</tbody>\n</table>"
            # a table that is wider than the window is scrolled by itself, by the keyboard too
            name = _text(title or ", ".join(columns))
            return f'{_title(title)}<div class="wide" role="region" tabindex="0" aria-label="{name}">{grid}</div>\n'


def _title(title: str) -> str:
    return f"<h3>{_text(title)}</h3>\n" if title else ""


def _line(line: Line) -> str:
    return "".join(map(_span, line))


def _span(span: Span) -> str:
    match span:
        case When(at):
            return f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M:%S} UTC</time>'
        case Who(actor):
            return f'<code class="who">{_text(actor)}</code>'
        case Code(text):
            return f"<code>{_text(text)}</code>"
        case Command(text):
            return f"<code>countersign {_text(text)}</code>"
        case Strong(text):
            return f"<strong>{_text(text)}</strong>"
        case _:
            return _text(span)


def _text(text: str) -> str:
    return escape(printable(text))
