"""What people type: shell-like words, forgiving quotes and dashes, near misses, and an answer for everything."""

import inspect
import re
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import GUS
from people_talk import OTTO
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import refusals
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import wait_for

from commands.manual import Manual
from commands.manual import tool_manual
from commands.manual import word_manual
from commands.tool_parsers import parser_of
from commands.words import TOOLS
from commands.words import Front
from commands.words import Option
from commands.words import all_words
from commands.words import declared_words
from commands.words import parse
from commands.words import split_line
from ops.errors import OpsError
from ops.errors import Reason
from sandbox.slack_answer import shown_text
from sandbox.stage import Stage

Make = Callable[..., Stage]
ROOT = Path(__file__).resolve().parent.parent

LINES = [
    ("push prod", ["push", "prod"]),
    ("  push   prod  ", ["push", "prod"]),
    ("push 'prod'", ["push", "prod"]),
    ("push “prod”", ["push", "prod"]),
    ("push ‘prod’", ["push", "prod"]),
    ("push „prod“", ["push", "prod"]),
    ("push prod —commit abc1234", ["push", "prod", "--commit", "abc1234"]),
    ("push prod –commit abc1234", ["push", "prod", "--commit", "abc1234"]),
    ("push prod --commit=abc1234", ["push", "prod", "--commit=abc1234"]),
    ("reject R-1 not today – really", ["reject", "R-1", "not", "today", "-", "really"]),
    ("reject R-1 don't", ["reject", "R-1", "don't"]),
    ("reject R-1 don’t use “drop”", ["reject", "R-1", "don't", "use", "drop"]),
    ('reject R-1 don\'t use "drop table"', ["reject", "R-1", "don't", "use", "drop table"]),
    ("reject R-1 the users' data", ["reject", "R-1", "the", "users'", "data"]),
    (r"reject R-1 see C:\new", ["reject", "R-1", "see", r"C:\new"]),
    ("reject R-1 # no comment", ["reject", "R-1", "#", "no", "comment"]),
    ("reject R-1 a;b && c > d", ["reject", "R-1", "a;b", "&&", "c", ">", "d"]),
    ('reject R-1 ""', ["reject", "R-1", ""]),
    ("", []),
]


@pytest.mark.parametrize(("line", "words"), LINES, ids=[line or "empty" for line, _ in LINES])
def test_a_line_is_read_as_it_was_meant(line: str, words: list[str]) -> None:
    assert split_line(line) == words


def test_an_open_quote_is_said_to_be_one() -> None:
    with pytest.raises(OpsError, match="A quote was opened and not closed") as refusal:
        split_line('push "prod')
    assert refusal.value.reason is Reason.BAD_USAGE


WRONG = [
    ("psuh prod", "Did you mean `push`?"),
    ("statsu", "Did you mean `status`?"),
    ("aprove R-1", "Did you mean `approve`?"),
    ("zzzzzz", "There is no word 'zzzzzz'."),
    ("push prod --comit abc1234", "`push` has no option --comit. Did you mean --commit?"),
    ("push prod --commit nonsense", "--commit takes a commit: 7 to 40 of the letters 0-9 and a-f, not 'nonsense'."),
    ("push prod --commit", "--commit takes a commit: 7 to 40 of the letters 0-9 and a-f."),
    ("push --commit --wait", "--commit takes a commit: 7 to 40 of the letters 0-9 and a-f."),
    ("push prod --wait 5x", "--wait takes a duration such as 90s, 30m, 4h or 1d, not '5x'."),
    ("push prod --wait=soon", "--wait takes a duration such as 90s, 30m, 4h or 1d, not 'soon'."),
    ("history --limit x", "--limit takes a number from 1 to 999, not 'x'."),
    ("history --limit 0", "--limit takes a number from 1 to 999, not '0'."),
    ("plan prod --commit=HEAD", "--commit takes a commit: 7 to 40 of the letters 0-9 and a-f, not 'HEAD'."),
    ("push prod --force", "`push` has no option --force."),
]


@pytest.mark.parametrize(("line", "words"), WRONG, ids=[line for line, _ in WRONG])
def test_a_near_miss_is_told_what_was_probably_meant(line: str, words: str) -> None:
    with pytest.raises(OpsError) as refusal:
        parse(split_line(line), Front.SLACK)
    assert words in refusal.value.message
    assert refusal.value.hint
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "arguments", "options"),
    [
        ("PUSH Prod", ("Prod",), {}),
        ("/push prod --wait", ("prod",), {"wait": ""}),
        ("push prod --wait 30m", ("prod",), {"wait": "30m"}),
        ("push --wait prod", ("prod",), {"wait": ""}),
        ("push prod --commit 1234567", ("prod",), {"commit": "1234567"}),
        ("push prod --commit=1234567", ("prod",), {"commit": "1234567"}),
        ("push TOKEN=hunter2hunter2", ("TOKEN=«masked: value»",), {}),
    ],
)
def test_options_stand_anywhere(line: str, arguments: tuple[str, ...], options: dict[str, str]) -> None:
    parsed = parse(split_line(line), Front.TERMINAL)
    assert (parsed.word, parsed.arguments, dict(parsed.options)) == ("push", arguments, options)


def test_people_are_answered_in_private_whatever_they_type(make_stage: Make) -> None:
    stage = small(make_stage)
    slack = stage.slack
    ask(stage)

    said = {
        "/migrate psuh prod": "Did you mean `push`?",
        "/migrate push": "Say which environment to push to.",
        "/migrate push pord": "There is no environment 'pord'. Did you mean prod?",
        "/migrate push production": "There is no environment 'production'.",
        "/migrate push p": "There is no environment 'p'.",
        "/migrate push dev prod": "Push to one environment at a time.",
        "/migrate plan": "`plan` needs an environment.",
        "/migrate plan prdo": "Did you mean prod?",
        "/migrate show R-11": "There is no request 'R-11'. Did you mean R-1?",
        "/migrate show R-0": "There is no request 'R-0'. Did you mean R-1?",
        "/migrate show nothing-of-it": "The newest is R-1.",
        "/migrate show 1": "Did you mean R-1?",
        "/migrate show #1": "Did you mean R-1?",
        "/migrate show r1": "Did you mean R-1?",
        "/migrate show": "`show` needs a request, such as R-7.",
        "/migrate reject R-1": "`reject` needs a request and a reason.",
        "/migrate approve": "`approve` needs a request, such as R-7.",
        "/migrate plan prod --commit 1234567": "1234567",
        "/migrate init": "There is no word 'init'.",
        '/migrate push "prod': "A quote was opened and not closed.",
        "/migrate " + "x" * 3000: "longer than 2000 letters",
        "/migrate status": "1 request open",
        "/migrate status prod": "shop/prod",
        "/migrate history": "1 migration on shop/prod",
        "/migrate show r-1": "requested",
        "/migrate help": "Countersign: what people approve is what runs",
        "/migrate help push": "push ENVIRONMENT",
        "/migrate help psuh": "There is no word 'psuh'. Did you mean `push`?",
        "/migrate help push extra": "`help` takes one word.",
        "/somethingelse status": "1 request open",
    }
    answers = {words: slack.say(ANA, words) for words in said}
    for words, expected in said.items():
        assert expected in told(answers[words]), words
        assert all(message.only_for == ANA for message in answers[words].messages()), words

        assert not ("Did you mean R-" in told(answers[words]) and "The newest is" in told(answers[words])), words

    assert [one.request for one in stage.events("requested")] == ["R-1"]
    assert {(one.data or {})["front"] for one in stage.events("commanded")} == {"slack"}
    in_order(stage)


def test_help_says_what_this_person_may_do(make_stage: Make) -> None:
    stage = small(make_stage, rules(1, 'requesters = ["U0ANA"]'))
    rights = {
        ANA: ("shop/dev: push (no approval needed)", "shop/prod: push; 1 of @database-owners approve"),
        BEN: ("shop/dev: push (no approval needed)", "shop/prod: approve and reject what others request and wrote"),
        DEE: ("shop/dev: push (no approval needed)", "shop/prod: nothing. You may not request anything on shop/prod."),
    }
    for person, lines in rights.items():
        answer = told(stage.slack.say(person, "/migrate help"))
        for line in (*lines, "/migrate push ENVIRONMENT", "/migrate plan dev"):
            assert line in answer
    refused = told(stage.slack.say(DEE, "/migrate push prod"))
    assert "You may not request anything on shop/prod." in refused
    assert "These may: @Ana." in refused
    stage.slack.fail("usergroups.list", "internal_error")
    assert "unknown just now, so nothing" in told(stage.slack.say(BEN, "/migrate help"))
    in_order(stage)


def test_who_is_no_full_member_is_told_so_whatever_they_ask(make_stage: Make) -> None:
    stage = small(make_stage)
    slack, workspace = stage.slack, stage.slack.workspace
    workspace.add_person("U0ROBO", "Robo", is_bot=True)
    workspace.add_person("U0EVE", "Eve", deleted=True)
    ask(stage)
    strangers = {
        GUS: "you are a guest",
        OTTO: "you belong to another workspace",
        "U0ROBO": "you are a bot",
        "U0EVE": "your account is deactivated",
        "U0NOBODY": "Slack does not know you",
    }
    for person, why in strangers.items():
        for words in ("status", "show R-1", "help", "push prod", "nonsense"):
            answer = told(slack.say(person, f"/migrate {words}", forged=True))
            assert f"You cannot use Countersign here: {why}." in answer
            assert "add_notes" not in answer
            assert "shop" not in answer
    assert set(refusals(stage)) == {"not_a_member"}
    assert len(refusals(stage)) == 25
    in_order(stage)


def test_a_mention_is_answered_where_it_was_made_and_to_nobody_else(make_stage: Make) -> None:
    stage = small(make_stage)
    answer = stage.slack.mention(ANA, "deploys", "plan prod")
    assert "Plan for shop/prod: 1 migration pending" in told(answer)
    assert all(message.only_for == ANA for message in answer.messages())
    again = stage.slack.again(answer)
    settled(stage)
    assert again.messages() == []
    assert "Did you mean `push`?" in told(stage.slack.mention(ANA, "deploys", "psuh prod"))
    assert "you are a guest" in told(stage.slack.mention(GUS, "deploys", "status"))
    told(stage.slack.mention(ANA, "deploys", "push prod"))
    card(stage, "[Approve for prod]")
    assert [one.actor for one in stage.events("requested")] == ["slack:T0ACME/U0ANA"]
    in_order(stage)


TOKENS = {
    "/migrate push prod SUPABASE_ACCESS_TOKEN=sbp_0123456789abcdef0123456789abcdef": "0123456789abcdef0123456789abcdef",
    "/migrate push SUPABASE_ACCESS_TOKEN=hunter2-hunter2": "hunter2",
    "/migrate push postgres://u:swordfish9@h/db": "swordfish9",
    "/migrate plan 'postgres://u:swordfish8@h/db'": "swordfish8",
    "/migrate show postgres://u:swordfish7@h/db": "swordfish7",
    "/migrate sbp_fedcba9876543210fedcba9876543210": "fedcba9876543210",
    "/migrate push prod --sbp_aaaabbbbccccddddaaaabbbbccccdddd": "aaaabbbbccccdddd",
    "/migrate push prod --commit=xoxb-1111222233334444": "1111222233334444",
    "/migrate help sb_secret_verysecretverysecret": "verysecret",
    "/migrate approve R-1 483920": "483920",
    "/migrate plan 583920": "583920",
    "/migrate reject R-1 the password is in TOKEN=opensesame1 and the code is 683920": "opensesame1",
    "/migrate cancel R-1 xapp-1-A0COUNTER-999988887777": "999988887777",
}


def test_a_secret_that_somebody_types_is_kept_nowhere(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    for line in TOKENS:
        person = BEN if "reject" in line or "approve" in line else ANA
        told(stage.slack.say(person, line))
    told(stage.slack.mention(CHI, "deploys", "push EYES_ONLY=rosebud77"))
    settled(stage)

    log_file = stage.log_path.read_bytes() + stage.log_path.with_name("audit.db-wal").read_bytes()
    secrets = [*TOKENS.values(), "683920", "rosebud77"]
    assert [secret for secret in secrets if secret.encode() in log_file] == []
    in_order(stage, *secrets)


def test_what_one_person_is_told_no_other_person_sees(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    slack = stage.slack
    for person, words in ((ANA, "status"), (BEN, "approve R-1"), (CHI, "show R-1"), (DEE, "plan prod")):
        told(slack.say(person, f"/migrate {words}"))
    to_all = [shown_text(slack.state, one) for one in slack.channel("deploys").messages]
    assert len([text for text in to_all if "waiting for approval" in text]) == 1  # the card
    assert not any(re.search("1 request open|Plan for shop/prod|Events", text) for text in to_all)
    for person in (ANA, BEN, CHI, DEE):
        assert len(slack.channel("deploys").ephemeral(person)) == (2 if person == ANA else 1)
    in_order(stage)


def test_a_person_who_cannot_be_answered_in_the_channel_is_answered_directly(make_stage: Make) -> None:
    stage = small(make_stage)
    stage.slack.fail("response_url", 404)
    stage.slack.fail("chat.postEphemeral", "user_not_in_channel")
    assert stage.slack.say(ANA, "/migrate status").error is None
    wait_for(lambda: stage.slack.direct(ANA).messages)
    assert "Nothing waits, nothing runs" in stage.slack.render(stage.slack.direct(ANA).messages[0])
    in_order(stage)


# --- what words say of themselves --------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(declared_words()))
def test_what_is_read_from_a_words_source_is_what_it_has_when_loaded(name: str) -> None:
    declared, loaded = declared_words()[name], all_words()[name]

    read = (declared.usage, declared.summary, declared.group, declared.fronts, dict(declared.options), declared.doc)
    assert read[:5] == (loaded.USAGE, loaded.SUMMARY, loaded.GROUP, loaded.FRONTS, dict(loaded.OPTIONS))
    assert read[5] == inspect.getdoc(loaded)


def test_every_module_that_can_be_said_is_a_word() -> None:
    modules = {path.stem for path in (ROOT / "commands").glob("*.py") if "\ndef run(" in path.read_text()}

    assert modules == set(declared_words())


def manual(name: str) -> Manual:
    return tool_manual(name, parser_of(name)) if name in TOOLS else word_manual(declared_words()[name])


@pytest.mark.parametrize("name", sorted({*declared_words(), *TOOLS}))
def test_page_of_every_word_and_tool_is_complete(name: str) -> None:
    found = manual(name)

    assert found.usage.split()[0] == name
    assert re.fullmatch(r"[a-z].{5,80}[^.]", found.summary)
    assert len(found.paragraphs) >= 2
    assert all(re.fullmatch(r"[A-Z`].*[.:]", paragraph) for paragraph in found.paragraphs)
    assert all(flag and words and not words.endswith(".") for flag, words in found.options)
    assert found.examples
    assert all(command.split()[0] == name and words and command != words for command, words in found.examples)
    assert found.see_also
    assert set(found.see_also) <= {*declared_words(), *TOOLS} - {name}


@pytest.mark.parametrize("name", sorted(declared_words()))
def test_every_option_says_what_it_takes_and_does(name: str) -> None:
    word = declared_words()[name]

    for option, said in word.options.items():
        assert said.help, option
        assert bool(said.takes or said.choices) == bool(said.value or said.choices), option
    examples = [command.removeprefix(f"{name} ") for command, _ in manual(name).examples]
    front = Front.TERMINAL if Front.TERMINAL in word.fronts else Front.SLACK
    for example in examples:
        line = example.replace("--json", "")
        parse([name, *split_line(line)] if line != name else [name], front)


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_every_example_of_a_tool_can_be_typed(tool: str) -> None:
    for command, _ in manual(tool).examples:
        parser_of(tool).parse_args(shlex.split(command.partition(" > ")[0].replace("--json", ""))[1:])


def test_document_of_the_words_is_the_printed_one() -> None:
    printed = runpy.run_path(str(ROOT / "docs" / "make_words.py"))["document"]()

    assert (ROOT / "docs" / "words.md").read_text(encoding="utf-8") == printed


def test_page_of_a_word_in_slack_has_what_it_takes_there(make_stage: Make) -> None:
    stage = small(make_stage)
    answer = told(stage.slack.say(ANA, "/migrate help push"))

    for words in (
        "/migrate push ENVIRONMENT",
        "--wait [DURATION]",
        "/migrate push prod --wait 30m",
        "/migrate help plan",
    ):
        assert words in answer
    for words in ("Exit status", "--json", "countersign push"):
        assert words not in answer
    in_order(stage)


CLOSED = Option(choices=("info", "danger"), takes="info or danger", needed=True, help="so bad at least")


def test_option_with_a_closed_list_takes_nothing_else() -> None:
    assert [CLOSED.is_fit(value) for value in ("info", "danger", "INFO", "", "infos")] == [
        True,
        True,
        False,
        False,
        False,
    ]
