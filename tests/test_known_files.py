"""What makes long histories cheap, and that it never changes what is found: known files, readings, rows."""

from pathlib import Path

import pytest
from apply_helpers import fresh_target

from ops.history import file_sha256
from ops.history import hash_on_server
from ops.history import history_sha256
from ops.history import read_history
from ops.known_files import KnownFiles
from ops.known_history import read_known_history
from ops.migrations import read_folder
from sandbox.stage import Stage


def test_known_files_outlive_the_process_and_a_damaged_note_is_forgotten(tmp_path: Path) -> None:
    path, blob = tmp_path / "mirror.files", "a" * 40
    known = KnownFiles(path)
    known.learn({blob: "b" * 64})
    known.save()

    assert path.stat().st_mode & 0o777 == 0o600
    assert KnownFiles(path).statements_sha256(blob) == "b" * 64
    path.write_bytes(b"\xff" + path.read_bytes())
    assert KnownFiles(path).statements_sha256(blob) is None


def test_a_file_that_is_not_read_has_the_hash_it_is_known_by() -> None:
    read = read_folder({"1_a.sql": b"select 1;", "2_b.sql": b"select 2;"}).migrations
    again = read_folder({"2_b.sql": b"select 2;"}, {"1_a.sql": file_sha256(read[0])}).migrations

    assert [one.version for one in again] == ["1", "2"]
    assert [file_sha256(one) for one in again] == [file_sha256(one) for one in read]


@pytest.mark.parametrize("with_bot", [False, True], ids=["alone", "by a bot that has seen it"])
def test_an_applied_file_that_is_edited_is_told_although_it_was_known(stage: Stage, with_bot: bool) -> None:
    if not with_bot:
        stage.stop_bot()

    def problems() -> list[str]:
        return [one["code"] for one in stage.cli("plan", "dev", "--json").json["history"]]

    name = min((stage.repository / "supabase" / "migrations").iterdir()).name
    before = (stage.repository / "supabase" / "migrations" / name).read_text()
    assert problems() == problems() == []

    stage.migration(name, f"{before}\nselect 1;\n")
    assert problems() == ["edited"]
    stage.migration(name, before)
    assert problems() == []

    mine = f"WHERE version = '{name.partition('_')[0]}'"
    stage.sql("dev", f"UPDATE supabase_migrations.schema_migrations SET statements = '{{select 1}}' {mine} RETURNING 1")
    assert problems() == ["edited"]
    stage.sql("dev", f"DELETE FROM supabase_migrations.schema_migrations {mine} RETURNING 1")
    assert problems() == ["out_of_order"]


def test_a_plan_made_again_says_the_same_and_a_damaged_note_is_not_believed(stage: Stage) -> None:
    stage.migration("20300101000000_more.sql", "drop table public.orders; select 'sb_secret_abcdefgh12345';")
    first = stage.cli("plan", "dev", "--json").json
    (note,) = stage.log_path.parent.rglob("*.readings/*")
    assert note.stat().st_mode & 0o777 == 0o600
    again = stage.cli("plan", "dev", "--json").json
    note.write_bytes(note.read_bytes().replace(b"forbidden", b"info     "))
    damaged = stage.cli("plan", "dev", "--json").json

    assert first == again == damaged
    assert any(hazard["level"] == "forbidden" for hazard in first["hazards"])
    assert first["pending"][0]["masked"] is True


def test_a_history_that_is_known_is_told_again_by_its_hash_and_any_change_of_it_is_seen() -> None:
    with fresh_target() as target:
        target.run("""insert into supabase_migrations.schema_migrations values
            ('20260101000000', '{a,b}', 'step'), ('20260101000001', '{c}', 'step'),
            ('20250101000000', null, null), ('20240101000000', '{"tab\t"}', E'quo"te \\\\ \x7f ü \U0001f600')""")
        first = read_known_history(target.connection)
        again = read_known_history(target.connection)
        assert again is first
        assert first.sha256 == hash_on_server(target.connection) == history_sha256(read_history(target.connection))
        for change in (
            "update supabase_migrations.schema_migrations set name = 'x' where version = '20250101000000'",
            "update supabase_migrations.schema_migrations set statements = statements || '{b}' where name = 'step'",
            "delete from supabase_migrations.schema_migrations where version = '20250101000000'",
        ):
            target.run(change)
            changed = read_known_history(target.connection)
            assert changed.rows == read_history(target.connection) != first.rows
            first = changed
