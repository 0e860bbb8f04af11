"""TypeScript types: as Supabase makes them, written, compared, and found stale in a plan."""

from collections.abc import Callable

import pytest
from supabase_support import managed

from commands.types_local import same_types
from ops.hazards.types_stale import stale_types
from ops.migrations import read_folder
from sandbox.stage import Ran
from sandbox.stage import Stage
from sandbox.supabase_api import SupabaseApi

TYPES = """export type Json = string
export type Database = {
  public: {
    Tables: {
      notes: {
        Row: {
          body: string | null
          id: number
        }
        Insert: {
          body?: string | null
          id: number
          gone?: string
        }
        Relationships: []
      }
    }
    Views: {
      [_ in never]: never
    }
    Enums: {
      mood: "good" | "bad"
    }
  }
}
"""

CASES = {
    "all of it is known": ("create table public.notes (id int, body text); create type mood as enum ('good');", ""),
    "a new table": ("create table public.tags (id int);", "public.tags; public.tags.id"),
    "a new column": ("alter table notes add column title text;", "public.notes.title"),
    "a column that only Insert has": ("alter table notes add column gone text;", "public.notes.gone"),
    "a dropped column": ("alter table notes drop column body;", "public.notes.body, which is dropped"),
    "a dropped table": ("drop table notes;", "public.notes, which is dropped"),
    "a renamed column": (
        "alter table notes rename column body to text;",
        "public.notes.body, which is dropped; public.notes.text",
    ),
    "a new enum": ("create type public.kind as enum ('a');", "public.kind"),
    "a new view": ("create view glad as select 1 as one;", "public.glad"),
    "another schema, which no client sees": ("create table app.parts (id int);", ""),
    "made and dropped again": ("create table tags (id int); drop table tags;", ""),
    "a temporary table": ("create temp table tags as select 1;", ""),
    "perhaps, inside a DO block": ("do $$ begin if true then create table tags (id int); end if; end $$;", ""),
}


@pytest.mark.parametrize("case", CASES)
def test_types_that_do_not_know_the_pending_files_are_a_hazard(case: str) -> None:
    sql, missing = CASES[case]
    files = read_folder({"1_x.sql": sql.encode()}).migrations
    found = stale_types(files, TYPES, "src/types.ts")
    words = [one.message for one in found]
    assert words == ([f"src/types.ts is not as this file leaves the schema: {missing}."] if missing else [])


def test_types_that_are_not_committed_at_all_are_said_so() -> None:
    files = read_folder({"1_x.sql": b"create table tags ();"}).migrations
    [found] = stale_types(files, None, "src/types.ts")
    assert found.message == "src/types.ts is not in the commit: public.tags."


def test_a_formatter_makes_no_difference_and_a_type_does() -> None:
    assert same_types('{\n  a: "x" | "y"\n}\n', "{ a: 'x' | 'y'; }")
    assert not same_types("a: string", "a: number")


def test_they_are_printed_written_checked_and_told_in_the_plan(
    make_stage: Callable[..., Stage], supabase_api: SupabaseApi
) -> None:
    supabase_api.project.types = TYPES
    stage = make_stage(**managed(supabase_api, empty=True))
    said = stage.config.read_text().replace(
        'repository = "repository"', 'repository = "repository"\ntypes = "src/t.ts"'
    )
    stage.config.write_text(said)
    stage.migration("20260101000000_tags.sql", "create table public.tags (id int);\n")

    def here(*words: str) -> Ran:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, "folder", stage.repository)
            return stage.cli("types", *words)

    assert here("prod").out == TYPES
    [asked] = supabase_api.seen("GET .*/types/typescript")
    assert dict(asked.query) == {"included_schemas": "public,graphql_public"}
    stale = here("prod", "--check")
    assert (stale.code, "src/t.ts cannot be read." in stale.err) == (1, True)
    wrote = here("prod", "--write")
    assert wrote.code == 0, wrote.err
    assert (stage.repository / "src/t.ts").read_text() == TYPES
    assert here("prod", "--check").code == 0

    stage.commit({"src/t.ts": TYPES}, "Types")
    ran = stage.cli("plan", "prod", "--json")
    plan = ran.json
    assert plan["ok"], ran.err
    told = [one for one in plan["hazards"] if one["rule"] == "types-stale"]
    assert [(one["class"], one["level"]) for one in told] == [("compatibility", "caution")]
    assert "public.tags" in told[0]["message"]

    linted = stage.cli("lint", "repository", "--types", "repository/src/t.ts", "--fail-on", "caution", "--json")
    assert (linted.code, [one["rule"] for one in linted.json["hazards"]]) == (
        1,
        [one["rule"] for one in plan["hazards"]],
    )

    supabase_api.fail("GET .*/types/typescript", 403)
    refused = stage.cli("types", "prod", "--json")
    assert (refused.code, refused.json["reason"]) == (2, "api_refused")
    unmanaged = stage.cli("types", "dev", "--json")
    assert (unmanaged.code, unmanaged.json["reason"]) == (2, "bad_config")
    assert "project_ref" in unmanaged.json["message"]
