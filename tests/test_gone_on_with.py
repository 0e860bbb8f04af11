"""What pages say of a request that another one has gone on with or undone since, and of a target that was left half-way."""

from collections.abc import Callable

from people_talk import ANA
from people_talk import card
from people_talk import told
from people_talk import wait_for

from commands.left_parts import _DONE
from ops.asking_again import _AGAIN
from ops.kinds import NAMES
from sandbox.stage import Stage

Make = Callable[..., Stage]

FILE = "20260101000000_items.sql"
SQL = """\
create table public.items (id int primary key, name text);
create index concurrently items_name on public.items (name);
alter table public.itmes add column more text;
"""
"""Its third statement fails behind one that stands alone, until it is mended."""


def card_of(stage: Stage, number: str) -> str:
    cards = [stage.slack.render(one) for one in stage.slack.channel("deploys").messages if not one.thread_ts]
    return next((text for text in cards if f"{number} · " in text), "")


def says(stage: Stage, number: str, words: str) -> str:
    """The card of a request, once it says this."""
    wait_for(lambda: words in card_of(stage, number), 30, f"{number} never said {words!r}")
    return card_of(stage, number)


def test_a_card_stays_true_when_others_go_on_with_its_request_and_undo_it(make_stage: Make) -> None:
    """Not `done, all of this plan is on shop/dev now` with live buttons for ever."""
    stage = make_stage(empty=True)
    stage.migration(FILE, SQL)
    stage.start_bot()

    # half-way in the first file: nothing whole is there, and yet there is something to undo
    assert stage.cli("push", "dev", "--json").json["status"] == "partially_applied"
    half = says(stage, "R-1", "failed half-way")
    assert "[Resume: run what is left] [Rollback: see the ways back]" in half
    assert "rollback R-1 shows the ways back" in half
    found = stage.cli("status", "dev", "--json").json["targets"][0]
    assert found["half_way"] == ["R-1"]
    status = told(stage.slack.say(ANA, "/migrate status dev"))
    assert "half-way" in status
    assert "resume R-1" in status
    assert "rollback R-1" in status

    # a resume that leaves nothing new says so in one voice, and changes nothing of R-1
    assert stage.cli("resume", "R-1", "--json").json["status"] == "failed"
    failed = says(stage, "R-2", "failed, all is as R-1 left it")
    assert "On shop/dev now: what R-1 left there, as before this run" in failed
    assert "nothing of it remains" not in failed
    assert "[Resume: run what is left]" in card_of(stage, "R-1")

    mended = stage.commit({f"supabase/migrations/{FILE}": SQL.replace("itmes", "items")}, "Mend it")
    assert stage.cli("resume", "R-1", "--commit", mended[:12], "--json").json["status"] == "succeeded"
    gone_on = says(stage, "R-1", "R-1 · shop/dev: went on as R-3, done")
    assert "[Resume" not in gone_on
    assert "[Rollback" not in gone_on
    assert "show R-3 tells what is on shop/dev now" in gone_on
    done = card(stage, "On shop/dev now: all of R-1, with what was left of it")
    assert "1 of 1 migration applied" in done
    assert "What it does" in done
    assert stage.cli("status", "dev", "--json").json["targets"][0]["half_way"] == []

    ended = stage.cli("rollback", "R-3", "--with", "inverse", "--json").json
    assert (ended["status"], ended["applied"], ended["removed"]) == ("succeeded", [], ["20260101000000"])
    for number in ("R-1", "R-3"):
        undone = says(stage, number, "undone by R-4")
        assert "all of" not in undone.partition("Steps")[0].partition("What it does")[0]
        assert "[" not in undone.partition("Next")[2]
    taken_back = says(stage, "R-4", "On shop/dev now: nothing of R-3 any more; 20260101000000 is out of the history")
    assert "1 of 1 script run" in taken_back
    shown = stage.cli("show", "R-3", "--json").json
    assert (shown["undone_by"], shown["resumed_by"]) == ("R-4", None)
    assert stage.cli("show", "R-1", "--json").json["resumed_by"] == "R-3"
    history = stage.cli("history", "dev").out
    assert history.count("undone by R-4") == 2
    assert "1 script:" in stage.cli("show", "R-4").out

    # what is so already is no refusal, and no request
    nothing = stage.cli("clean", "up", "dev", "--json")
    assert (nothing.code, nothing.json["status"], nothing.json["request"]) == (0, "nothing_to_do", None)
    assert stage.cli("help", "clean", "up").code == 0


def test_every_kind_says_how_it_is_asked_for_again_and_what_it_left() -> None:
    assert set(_AGAIN) == set(NAMES)
    assert set(_DONE) == set(NAMES) - {"adopt"}
