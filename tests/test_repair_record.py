"""Making the history say what is so: by a claim that people approve (repair), or by hand and checked (record)."""

from collections.abc import Callable

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import approve
from people_talk import in_order
from people_talk import rules
from people_talk import told
from test_half_way import card_of
from test_half_way import decided

from sandbox.stage import Stage

Make = Callable[..., Stage]

FIRST, SECOND = "20260101000000_notes.sql", "20260102000000_more.sql"
NOTES = "create table public.notes (id int primary key);\ncomment on table public.notes is 'a; b';\n"
MORE = "alter table public.notes add column body text;\n"


@pytest.fixture
def stage(make_stage: Make) -> Stage:
    """Two migrations, neither applied anywhere; on prod somebody ran the first by hand, without its history row."""
    made = make_stage(empty=True, prod=rules(1))
    made.migration(FIRST, NOTES)
    made.migration(SECOND, MORE)
    made.sql("prod", NOTES)
    return made


def rows(stage: Stage, database: str = "prod") -> list[tuple[str, str, list[str]]]:
    there = stage.sql(database, "select to_regclass('supabase_migrations.schema_migrations') is not null")[0][0]
    query = "select version, name, statements from supabase_migrations.schema_migrations order by 1"
    return stage.sql(database, query) if there else []


AS_THE_CLI = ("20260101000000", "notes", [line.rstrip(";") for line in NOTES.strip().splitlines()])


def test_a_row_is_added_as_the_cli_would_write_it(stage: Stage) -> None:
    stage.start_bot()
    assert "R-1 is asked for: repair the history of" in told(
        stage.slack.say(ANA, "/migrate repair prod applied 20260101000000")
    )
    shown = card_of(stage, "R-1", "[Approve for prod]")
    assert "R-1 · repair the history of shop/prod: waiting for approval" in shown
    assert f"Adds the row 20260101000000 with the 2 statements of {FIRST}, as applied." in shown
    assert "the SQL of no file is run" in shown
    assert "Nothing: nobody compared" in shown
    assert "Hazards: none found" in shown  # of what is not run, nothing is dangerous
    assert rows(stage) == []

    decided(stage, "R-1")

    assert rows(stage) == [AS_THE_CLI]
    assert [one["version"] for one in stage.cli("plan", "prod", "--json").json["pending"]] == ["20260102000000"]
    assert [one.kind for one in stage.events("history_repaired", "migration_applied")] == ["history_repaired"]
    in_order(stage)


def test_a_row_that_says_something_else_is_written_anew(stage: Stage) -> None:
    stage.start_bot()
    stage.sql("prod", "create schema supabase_migrations")
    stage.sql(
        "prod",
        "create table supabase_migrations.schema_migrations (version text primary key, statements text[], name text);"
        "insert into supabase_migrations.schema_migrations values ('20260101000000', array['old'], 'notes')",
    )
    told(stage.slack.say(ANA, "/migrate repair prod applied 20260101000000"))
    shown = card_of(stage, "R-1", "[Approve for prod]")
    assert "Replaces the row 20260101000000 (notes, 1 statement, sha256 " in shown
    assert f"by the 2 statements of {FIRST} as the file stands now." in shown
    assert "The history no longer says what ran as 20260101000000" in shown
    decided(stage, "R-1")
    assert rows(stage) == [AS_THE_CLI]
    assert "as the file stands" in told(stage.slack.say(ANA, "/migrate repair prod applied 20260101000000"))


def test_a_row_is_taken_out_and_its_file_is_pending_again(stage: Stage) -> None:
    stage.start_bot()
    told(stage.slack.say(ANA, f"/migrate repair prod applied {FIRST}"))
    decided(stage, "R-1")
    told(stage.slack.say(ANA, "/migrate repair prod reverted 20260101000000"))
    shown = card_of(stage, "R-2", "[Approve for prod]")
    assert "Removes the row 20260101000000 (notes, 2 statements, sha256 " in shown
    decided(stage, "R-2")
    assert rows(stage) == []
    assert stage.sql("prod", "select to_regclass('public.notes') is not null") == [(True,)]


def test_several_rows_at_once_all_or_as_the_card_says(stage: Stage) -> None:
    ran = stage.cli("repair", "dev", "applied", "20260101000000", "20260102000000", "--json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded")
    assert [version for version, *_ in rows(stage, "dev")] == ["20260101000000", "20260102000000"]
    ran = stage.cli("repair", "dev", "reverted", "20260101000000", "20260102000000", "--json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded")
    assert rows(stage, "dev") == []
    again = stage.cli("repair", "dev", "reverted", "20260101000000", "--json")
    assert (again.code, again.json["status"], again.json["request"]) == (0, "nothing_to_do", None)

    undone = stage.cli("show", "R-2", "--json").json
    assert (undone["applied"], undone["removed"]) == ([], ["20260101000000", "20260102000000"])
    shown = stage.cli("show", "R-2").out
    assert "its history says now that 20260101000000, 20260102000000 is not applied" in shown
    assert "2 of 2 history rows put right" in shown


def test_a_repaired_row_does_not_count_as_applied_before(make_stage: Make) -> None:
    """`after = ["dev"]` wants files that ran there, not rows that somebody had written."""
    stage = make_stage(empty=True, prod=rules(1, 'after = ["dev"]'))
    stage.migration(FIRST, NOTES)
    assert stage.cli("repair", "dev", "applied", "20260101000000", "--json").json["status"] == "succeeded"
    refused = stage.cli("push", "prod", "--json")
    assert "has not been applied to dev" in refused.json["message"]


def test_what_we_repaired_is_no_change_from_outside(stage: Stage) -> None:
    stage.cli("plan", "dev")
    stage.cli("repair", "dev", "applied", "20260101000000")
    stage.cli("repair", "dev", "reverted", "20260101000000")
    stage.cli("plan", "dev")
    assert stage.events("changed_outside") == []


SAID_PLAINLY = (
    ("repair prod", "needs an environment, then `applied` or `reverted`, then versions"),
    ("repair prod done 20260101000000", "then `applied` or `reverted`"),
    ("repair prod applied some", "'some' is not a version"),
    ("repair prod applied 123456", "looks like a one-time code"),
    ("repair prod applied 20300101000000", "has no file of that version: 20300101000000"),
    ("repair prod reverted 20300101000000", "has a version 20300101000000"),
    ("record prod 20260101000000", "`record` needs --by and --because"),
    ("record prod 20260101000000 --by Ana --because", "--because takes a reason, in quotes"),
)


def test_what_cannot_be_asked_for_is_said_plainly(stage: Stage) -> None:
    for line, words in SAID_PLAINLY:
        ran = stage.cli(*line.split(), "--json")
        assert ran.code == 2, ran.out
        assert words in ran.json["message"] + ran.json["hint"]


def test_what_was_done_by_hand_is_entered_once_it_is_proven_and_approved(stage: Stage) -> None:
    stage.start_bot()
    said = stage.slack.say(
        ANA, '/migrate record prod 20260101000000 --by "Dee Novak" --because "the bot was down, checkout too"'
    )
    assert "R-1 is asked for: record what was done by hand" in told(said)
    shown = card_of(stage, "R-1", "[Approve for prod]")
    assert f"Enters that Dee Novak ran {FIRST} by hand, because: the bot was down, checkout too" in shown
    assert f"Adds the history row of {FIRST}." in shown
    assert "and shop/prod has them so: table public.notes" in shown
    assert "What it did to rows, no replay can prove." in shown

    decided(stage, "R-1")

    assert rows(stage) == [AS_THE_CLI]
    assert [one["version"] for one in stage.cli("plan", "prod", "--json").json["pending"]] == ["20260102000000"]
    found = stage.cli("show", "R-1", "--json").json
    assert (found["kind"], found["status"]) == ("record", "succeeded")
    [asked] = stage.events("requested")
    done = card_of(stage, "R-1", "shop/prod: done")
    assert "its history has 20260101000000, run by hand by Dee Novak: the bot was down, checkout too" in done
    assert "all of this plan" not in done
    facts = (asked.data or {})["plan"]["facts"]
    assert (facts["by"], facts["because"]) == ("Dee Novak", "the bot was down, checkout too")
    in_order(stage)


def test_a_row_that_was_written_by_hand_too_is_left_as_it_is(stage: Stage) -> None:
    stage.sql("dev", NOTES)
    stage.cli("plan", "dev")
    stage.cli("repair", "dev", "applied", "20260101000000")
    before = rows(stage, "dev")
    ran = stage.cli("record", "dev", "20260101000000", "--by", "Dee", "--because", "the bot was down", "--json")
    assert (ran.code, ran.json["status"]) == (0, "succeeded"), ran.out
    assert rows(stage, "dev") == before
    [asked] = [one for one in stage.events("requested") if (one.data or {})["kind"] == "record"]
    assert "The history has every row of it already." in (asked.data or {})["plan"]["does"]


def test_what_is_not_there_is_not_entered(stage: Stage) -> None:
    """The table of the second file lacks its column; nobody is even asked."""
    ran = stage.cli("record", "prod", "20260101000000", "20260102000000", "--by", "Dee", "--because", "x", "--json")
    assert (ran.code, ran.json["reason"]) == (1, "drift_found")
    assert "is not what its history and those files make together: table public.notes" in ran.json["message"]
    assert stage.events("requested") == []


def test_what_differed_before_does_not_stand_in_the_way_and_is_named(stage: Stage) -> None:
    stage.sql("prod", "create table public.strange (id int)")
    ran = stage.cli("record", "prod", "20260101000000", "--by", "Dee", "--because", "x", "--json")
    assert ran.json["status"] == "waiting", ran.out
    [asked] = stage.events("requested")
    proven = " ".join((asked.data or {})["plan"]["proven"])
    assert "What differs there all the same, did so without it: table public.strange" in proven


def test_what_changes_rows_only_is_said_to_rest_on_a_word(stage: Stage) -> None:
    stage.migration("20260103000000_fill.sql", "insert into public.notes values (1);\n")
    stage.sql("dev", NOTES + MORE)
    stage.cli("repair", "dev", "applied", "20260101000000", "20260102000000")
    stage.sql("dev", "insert into public.notes values (1)")
    ran = stage.cli("record", "dev", "20260103000000", "--by", "Dee", "--because", "x", "--json")
    assert ran.json["status"] == "succeeded", ran.out
    [asked] = [one for one in stage.events("requested") if (one.data or {})["kind"] == "record"]
    assert "it rests on what people say" in " ".join((asked.data or {})["plan"]["proven"])
    assert stage.sql("dev", "select count(*) from public.notes") == [(1,)]


def test_what_we_ran_ourselves_is_not_entered_again(make_stage: Make) -> None:
    stage = make_stage(empty=True)
    stage.migration(FIRST, NOTES)
    assert stage.cli("push", "dev", "--json").json["status"] == "succeeded"
    ran = stage.cli("record", "dev", "20260101000000", "--by", "Dee", "--because", "x", "--json")
    assert (ran.code, ran.json["status"], ran.json["request"]) == (0, "nothing_to_do", None)
    assert f"the log has {FIRST} already, by R-1" in ran.json["message"]


def test_nobody_approves_the_entry_of_their_own_file_or_work(stage: Stage) -> None:
    """Mia wrote both files and [people] knows her; who is said to have run one is no second pair of eyes either."""
    config = stage.config.read_text()
    known = '"mia@acme.example" = "U0BEN"\n"chi@acme.example" = "U0CHI"\n'
    stage.config.write_text(config.replace("[people]\n", f"[people]\n{known}"))
    ran = "@U0DEE, Chi <chi@acme.example> and Mia"
    asked = {
        ("repair", "prod", "applied", "20260101000000"): ["U0BEN"],
        ("record", "prod", "20260101000000", "--by", ran, "--because", "x"): ["U0BEN", "U0CHI", "U0DEE"],
    }
    for words in asked:
        answer = stage.cli(*words, "--json")
        assert answer.json["status"] == "waiting", answer.out
    assert [(event.data or {})["authors"] for event in stage.events("requested")] == list(asked.values())
    stage.start_bot()
    card_of(stage, "R-1", "[Approve for prod]")
    assert "You wrote a commit that R-1 runs" in approve(stage, BEN, "R-1")
    assert rows(stage) == []


def test_a_change_meanwhile_voids_the_entry(stage: Stage) -> None:
    stage.start_bot()
    told(stage.slack.say(ANA, '/migrate record prod 20260101000000 --by Dee --because "x"'))
    card_of(stage, "R-1", "[Approve for prod]")
    stage.sql("prod", "alter table public.notes add column more text")
    assert "this changed: the target's schema" in approve(stage, BEN)
    assert rows(stage) == []
