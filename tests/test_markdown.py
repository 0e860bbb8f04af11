"""A plan as a comment on a pull request: nothing foreign in it does anything, and it always fits."""

import json
import re
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from people_talk import ANA
from people_talk import small

from commands.markdown import MOST_LETTERS
from commands.markdown import code
from commands.markdown import fenced
from commands.markdown import lint_markdown
from commands.markdown import plan_markdown
from commands.markdown import size
from commands.markdown import words
from ops.hazards import Hazard
from ops.hazards import HazardClass
from ops.hazards import Level
from ops.rehearsal.report import AccessChange
from ops.rehearsal.report import ChangedObject
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from sandbox.postgres import LocalPostgres
from sandbox.stage import Stage

HOSTILE = [
    pytest.param("@octocat and @acme/owners", id="mentions"),
    pytest.param("see #12, acme/shop#3, !7, ~bug, %4, &5 and $6", id="references"),
    pytest.param("[click](https://evil.example) ![x](https://evil.example/p.png)", id="links and pictures"),
    pytest.param("https://evil.example www.evil.example ftp://evil.example", id="bare addresses"),
    pytest.param("<img src=x onerror=alert(1)> <script>x</script> <!-- gone", id="HTML"),
    pytest.param("&lt;b&gt; &#64;octocat", id="entities"),
    pytest.param("a | b |\n| --- | --- |\n| c | d", id="a table"),
    pytest.param("`code` ``more`` ```\n```", id="backticks"),
    pytest.param("# heading\n\n- list\n> quote\n    code\n---\n/close", id="blocks"),
    pytest.param("**bold** _it_ ~~gone~~ *x* __y__", id="emphasis"),
    pytest.param("trailing \\", id="a backslash at the end"),
    pytest.param("\\`x` \\| \\[a](b) \\\\|", id="escapes of its own"),
    pytest.param("</details>\n\n# out\n```\n````\n~~~", id="an end of the fold and fences"),
    pytest.param("a\u202eb\u200b\x00\x1b[31m", id="letters that hide"),
    pytest.param("$x$ and $$y$$", id="mathematics"),
]

GFM = MarkdownIt("commonmark").enable("table").enable("strikethrough")
ACTIVE = re.compile(r"(?<!\w)@\w|(?<![\w&])#\w|\w#\d|https?://|ftp://|www\.\w|(?<!\w)[!~%&$]\w", re.IGNORECASE)


def tokens(text: str) -> Iterator[Token]:
    for token in GFM.parse(text):
        yield token
        yield from token.children or ()


def loose_text(text: str) -> str:
    """What stands outside code: where GitHub and GitLab look for people, numbers and addresses."""
    return "\n".join(token.content for token in tokens(text) if token.type == "text")


def kinds(text: str) -> set[str]:
    return {token.type for token in tokens(text)}


DOES_SOMETHING = {"link_open", "image", "html_inline", "html_block", "s_open", "hr", "blockquote_open"}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_foreign_words_mean_only_themselves(hostile: str) -> None:
    shown = f"It says: {words(hostile)}"

    assert kinds(shown) <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    assert not ACTIVE.search(_read(shown).removeprefix("It says: "))


@pytest.mark.parametrize("hostile", HOSTILE)
def test_foreign_words_read_the_same(hostile: str) -> None:
    plain = " ".join(re.sub("[\x00\x1b\u202e\u200b]", "�", " ".join(hostile.split())).split())

    assert _read(f"It says: {words(hostile)}").replace("\u200b", "") == f"It says: {plain}"


def _read(text: str) -> str:
    [paragraph] = [token for token in GFM.parse(text) if token.type == "inline"]
    return "".join(child.content for child in paragraph.children or ())


@pytest.mark.parametrize("hostile", HOSTILE)
def test_foreign_code_stays_one_span_in_a_cell(hostile: str) -> None:
    table = f"| A | B |\n| --- | --- |\n| {code(hostile)} | end |\n"

    cells = [token for token in GFM.parse(table) if token.type == "inline"][2:]
    assert [[child.type for child in cell.children or ()] for cell in cells] == [["code_inline"], ["text"]]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_fence_is_longer_than_any_inside(hostile: str) -> None:
    parsed = GFM.parse(f"before\n\n{fenced(hostile, 'diff')}\n\nafter\n")

    assert [token.type for token in parsed if token.type != "inline"] == [
        *("paragraph_open", "paragraph_close", "fence", "paragraph_open", "paragraph_close")
    ]


def hazard(message: str, level: Level = Level.DANGER) -> Hazard:
    return Hazard("drop-table", HazardClass.DATA_LOSS, level, "20261201000000", 3, message, "Rename it first.")


def told(**changed: Any) -> dict[str, Any]:
    """What `plan --json` tells, with one file pending."""
    return {
        "target": "shop/prod",
        "commit": "4e1b2c9" * 5,
        "digest": "d" * 64,
        "pending": [{"version": "20261201000000", "name": "drop_it", "sha256": "ab" * 32}],
        "hazards": [],
        "diff": "",
        "rehearsal": None,
        "history": [],
        "blocked": None,
        "skipped": {},
        "functions": [],
        **changed,
    }


def rehearsal(text: str, many: int = 1) -> dict[str, Any]:
    """A rehearsal in which everything that can be foreign is this text."""
    error = {"sqlstate": "42P01", "message": text, "detail": text, "hint": text, "caret": text, "line": 3}
    return Rehearsal(
        Outcome.FAILED,
        because=text,
        server=text,
        inexact_because=text,
        stand_ins=(text,) * many,
        unseen=(text,) * many,
        files=(FileFacts("20261201000000", text, "failed", 0.1, None, error=error),),
        access_opened=(AccessChange("table-without-rls", "danger", text, text, text),) * many,
        access_mended=(AccessChange("table-without-rls", "danger", text, text, text),) * many,
        changes=(ChangedObject("created", text, text, text, text),) * many,
    ).to_json()


def test_plan_says_what_there_is_to_know() -> None:
    shown = plan_markdown(told(diff="+create table x ();\n", rehearsal=rehearsal("plain")), [hazard("Drops table x.")])

    assert shown.startswith("## Plan for shop/prod: fails on a copy, 1 migration pending\n")
    assert "| 1 | `20261201000000_drop_it.sql` | `abababababab` |" in shown
    assert (
        "| **danger** | `data_loss/drop-table` | `20261201000000_drop_it.sql:3` | Drops table x.<br>Safe way: " in shown
    )
    assert "### Rehearsal: failed\n" in shown
    assert "<details><summary>Schema diff: 1 line</summary>\n\n```diff\n+create table x ();\n```\n" in shown
    assert shown.endswith(f"plan `{'d' * 64}`: what people approve.\n")


def test_plan_tells_what_its_statements_did() -> None:
    done = StatementFacts(
        0,
        3,
        0.1,
        locks=(HeldLock("public.x", "AccessExclusiveLock", 27 * 2**20, 1000),),
        rewrites=(Rewrite("public.x", "table", 27 * 2**20, 1000),),
        drops=(Dropped("table", "public.@octocat", cascaded=False),),
    )
    files = (FileFacts("20261201000000", "20261201000000_drop_it.sql", "passed", 0.1, "ab" * 32, (done,)),)
    mended = (
        AccessChange("table-without-rls", "danger", "public.y", "Everybody reads public.y.", "y"),
        AccessChange("no-policy", "info", "public.z", "No visitor sees public.z.", "z"),
    )
    found = Rehearsal(Outcome.PASSED, files=files, access_mended=mended).to_json()

    shown = plan_markdown(told(rehearsal=found), [])

    assert shown.startswith("## Plan for shop/prod: 1 migration pending\n")
    assert "- **drops** table: public.@\u200boctocat\n" in shown
    assert "- **rewrites** table, 27 MB, about 1,000 rows on the target: public.x\n" in shown
    assert "- **locks** AccessExclusiveLock from " in shown
    assert "- **mends** no longer: Everybody reads public.y\n" in shown
    assert "public.z" not in shown


def test_worst_hazard_stands_first() -> None:
    shown = plan_markdown(told(), [hazard("Small.", Level.INFO), hazard("Great.", Level.FORBIDDEN)])

    assert shown.index("Great.") < shown.index("Small.")
    assert "### Hazards: 1 forbidden, 1 info" in shown


def test_plan_that_would_be_refused_says_so_first() -> None:
    shown = plan_markdown(told(blocked="A file of @octocat is gone."), [])

    assert shown.startswith(
        "## Plan for shop/prod: a push would be refused\n\n**In the way:** A file of @\u200boctocat"
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_plan_does_nothing_to_its_readers(hostile: str) -> None:
    plan = told(
        pending=[{"version": "20261201000000", "name": hostile, "sha256": "ab" * 32}],
        blocked=hostile,
        history=[{"code": "x", "message": hostile, "repair": ""}],
        rehearsal=rehearsal(hostile),
        diff=hostile,
    )

    shown = plan_markdown(plan, [hazard(hostile)])

    html = [token.content.strip() for token in tokens(shown) if token.type in ("html_inline", "html_block")]
    assert set(html) <= {"<br>", "<details><summary>Schema diff: 1 line</summary>", "</details>"} | {
        f"<details><summary>Schema diff: {number} lines</summary>" for number in range(2, 9)
    }
    assert not kinds(shown) & (DOES_SOMETHING - {"html_inline", "html_block"})
    assert not ACTIVE.search(loose_text(shown))
    assert len([token for token in tokens(shown) if token.type == "heading_open"]) == 3


@pytest.mark.parametrize("letter", ["x", "`", "\\", "&", "@a ", "😀", "|", "\n", "\t"])
def test_it_never_becomes_longer_than_github_takes(letter: str) -> None:
    text = letter * 5_000
    plan = told(
        target=text,
        blocked=text,
        pending=[{"version": str(number), "name": text, "sha256": "ab" * 32} for number in range(500)],
        history=[{"code": "x", "message": text, "repair": ""}] * 50,
        rehearsal=rehearsal(text, many=500),
        diff=(text + "\n") * 400,
    )

    shown = plan_markdown(plan, [hazard(text)] * 2_000)

    assert size(shown) <= MOST_LETTERS
    assert shown.rstrip().endswith("what people approve.")
    assert len([token for token in GFM.parse(shown) if token.type == "fence"]) == 2


def test_left_out_rows_are_counted() -> None:
    shown = plan_markdown(told(diff="+x\n" * 40_000), [hazard("Drops table x." * 20)] * 500)

    table = [line for line in shown.splitlines() if line.startswith("| **danger**")]
    assert f"\nand {500 - len(table)} more, which would not fit here\n" in shown
    assert re.search(r"<summary>Schema diff: 40,000 lines, the first \d+</summary>", shown)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_lint_does_nothing_to_its_readers(hostile: str) -> None:
    found = {
        "files": [{"file": hostile, "version": "20261201000000", "sha256": "ab" * 32}],
        "refusals": [{"file": hostile, "line": 1, "message": hostile}],
    }

    shown = lint_markdown(found, [hazard(hostile)], f"1 migration: {hostile}")

    assert {token.content for token in tokens(shown) if token.type in ("html_inline", "html_block")} <= {"<br>"}
    assert not kinds(shown) & (DOES_SOMETHING - {"html_inline"})
    assert not ACTIVE.search(loose_text(shown))


def test_plan_of_a_real_target_is_printed_as_markdown(local_postgres: LocalPostgres) -> None:
    with Stage(postgres=local_postgres, rate_limits=False) as stage:
        printed = stage.cli("plan", "prod", "--markdown")
        kept = json.loads(stage.cli("plan", "prod", "--markdown", "--json").out)

    assert printed.code == 0
    assert printed.out.startswith("## Plan for shop/prod: ")
    assert (kept["ok"], kept["markdown"]) == (True, printed.out)
    assert kept["digest"] in printed.out
    assert all(one["sha256"][:12] in printed.out for one in kept["pending"])


def test_bot_prints_it_for_the_terminal_and_refuses_it_in_slack(make_stage: Callable[..., Stage]) -> None:
    stage = small(make_stage)

    printed = stage.cli("plan", "prod", "--markdown")
    said = stage.slack.say(ANA, "/migrate plan prod --markdown")

    assert printed.out.startswith("## Plan for shop/prod: 1 migration pending\n")
    assert "is for the terminal" in said.text()
