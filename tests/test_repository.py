"""A repository is read at an exact commit, and kept up to date."""

import hashlib
import threading
import time
from datetime import UTC
from datetime import datetime
from pathlib import Path

import pytest
from git_origin import ANA
from git_origin import FIRST
from git_origin import MIA
from git_origin import Origin
from git_origin import make_origin
from git_origin import make_repository
from git_origin import read
from git_origin import refused

from ops.errors import Reason
from ops.git import clean_environment
from ops.git import one_at_a_time
from ops.repository import Author
from ops.repository import Repository


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return make_origin(tmp_path)


@pytest.fixture
def repository(origin: Origin, tmp_path: Path) -> Repository:
    return make_repository(origin, tmp_path)


# reading


def test_snapshot_has_the_bytes_and_the_commit(origin: Origin, repository: Repository) -> None:
    head = origin.git("rev-parse", "main")
    found = repository.snapshot(repository.resolve("main"))
    assert dict(found.files) == {"config.toml": b"[db]\n", "migrations/20260101000000_orders.sql": b"select 1;\n"}
    assert (found.commit.sha, found.commit.title) == (head, "Add orders")
    assert found.commit.author == found.commit.committer == Author(*ANA)
    assert found.commit.authored_at == datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert found.tree_sha == origin.git("rev-parse", "main:supabase")


def test_bytes_are_as_committed_whatever_the_attributes_say(origin: Origin, repository: Repository) -> None:
    origin.commit({FIRST: "-- $Id$\nselect 1;\n", ".gitattributes": "*.sql text eol=crlf ident\n"})
    assert read(repository)["migrations/20260101000000_orders.sql"] == b"-- $Id$\nselect 1;\n"


def test_commit_elsewhere_keeps_the_tree_name(origin: Origin, repository: Repository) -> None:
    before = repository.snapshot(repository.resolve("main"))
    origin.commit({"README.md": "changed\n"})
    repository.update()
    after = repository.snapshot(repository.resolve("main"))
    assert before.commit.sha != after.commit.sha
    assert before.tree_sha == after.tree_sha


def test_sub_folders_of_migrations_are_no_migrations(origin: Origin, repository: Repository) -> None:
    origin.commit({"supabase/migrations/old/20250101000000_gone.sql": "drop schema public cascade;"})
    assert list(read(repository)) == ["config.toml", "migrations/20260101000000_orders.sql"]


def test_missing_migrations_folder_is_empty(origin: Origin, repository: Repository) -> None:
    origin.git("rm", "--quiet", "-r", "supabase/migrations")
    origin.commit({})
    assert list(read(repository)) == ["config.toml"]


@pytest.mark.parametrize("folder", ["apps/shop/supabase", "./apps/shop/supabase/"])
def test_supabase_folder_may_lie_deeper(origin: Origin, tmp_path: Path, folder: str) -> None:
    origin.commit({"apps/shop/supabase/migrations/1_a.sql": "select 2;"})
    assert read(Repository(str(origin.folder), tmp_path / "deep", supabase=folder)) == {
        "migrations/1_a.sql": b"select 2;"
    }


def test_supabase_folder_may_be_the_root(tmp_path: Path) -> None:
    origin = Origin(tmp_path / "flat")
    origin.commit({"migrations/1_a.sql": "select 2;"})
    assert read(Repository(str(origin.folder), tmp_path / "cache", supabase=".")) == {
        "migrations/1_a.sql": b"select 2;"
    }


def test_missing_supabase_folder_says_which(origin: Origin, tmp_path: Path) -> None:
    repository = Repository(str(origin.folder), tmp_path / "other", supabase="apps/none")
    with refused(Reason.REPOSITORY_REFUSED) as caught:
        read(repository)
    assert "has no folder apps" in caught.value.message


# refs and commits


def test_update_follows_moved_deleted_and_new_branches(origin: Origin, repository: Repository) -> None:
    origin.git("branch", "topic/one")
    repository.update()
    origin.git("branch", "-D", "topic/one")
    origin.git("branch", "topic")  # a file where a folder was
    head = origin.commit({FIRST: "select 2;\n"})
    repository.update()
    assert repository.resolve("main") == head
    assert repository.resolve("topic") == origin.git("rev-parse", "topic")
    with refused(Reason.REPOSITORY_REFUSED):
        repository.resolve("topic/one")


def test_forced_push_keeps_the_old_commit_readable_but_not_on_the_branch(
    origin: Origin, repository: Repository
) -> None:
    old = origin.commit({FIRST: "select 2;\n"})
    repository.update()
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    origin.commit({FIRST: "select 3;\n"})
    origin.git("reflog", "expire", "--expire=now", "--all")
    origin.git("gc", "--quiet", "--prune=now")
    repository.update()
    assert repository.snapshot(old).files["migrations/20260101000000_orders.sql"] == b"select 2;\n"
    with refused(Reason.COMMIT_NOT_ON_BRANCH) as caught:
        repository.resolve("main", old)
    assert caught.value.exit_code == 3


def test_ref_is_a_commit_a_short_commit_a_tag_or_a_merged_branch(origin: Origin, repository: Repository) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.git("tag", "--annotate", "--message=First", "v1.0")
    origin.git("branch", "release")
    origin.commit({FIRST: "select 2;\n"})
    repository.update()
    assert {repository.resolve("main", ref) for ref in (first, first[:8], "v1.0", "release")} == {first}


def test_commit_of_another_branch_is_refused(origin: Origin, repository: Repository) -> None:
    origin.git("checkout", "--quiet", "-b", "develop")
    later = origin.commit({FIRST: "select 2;\n"})
    repository.update()
    assert repository.resolve("develop", later) == later
    for ref in (later, later[:10], "develop", "0" * 40, "no-such-thing", "1234567"):
        with refused(Reason.COMMIT_NOT_ON_BRANCH):
            repository.resolve("main", ref)


def test_tag_that_looks_like_a_commit_is_ambiguous(origin: Origin, repository: Repository) -> None:
    first = origin.git("rev-parse", "HEAD")
    origin.commit({FIRST: "select 2;\n"})
    origin.git("tag", first[:8])
    repository.update()
    with refused(Reason.COMMIT_NOT_ON_BRANCH) as caught:
        repository.resolve("main", first[:8])
    assert "means several commits" in caught.value.message
    assert repository.resolve("main", first) == first


def test_tag_of_a_file_is_no_commit(origin: Origin, repository: Repository) -> None:
    origin.git("tag", "blob", origin.blob("x"))
    repository.update()
    with refused(Reason.COMMIT_NOT_ON_BRANCH):
        repository.resolve("main", "blob")


def test_has_commit(origin: Origin, repository: Repository) -> None:
    head = origin.git("rev-parse", "HEAD")
    answers = [repository.has_commit(name) for name in (head, "0" * 40, head[:8], "main", origin.blob("y"))]
    assert answers == [True, False, False, False, False]


def test_empty_repository_has_no_branch_yet(tmp_path: Path) -> None:
    repository = Repository(str(Origin(tmp_path / "empty").folder), tmp_path / "cache")
    repository.update()
    with refused(Reason.REPOSITORY_REFUSED) as caught:
        repository.resolve("main")
    assert "push a first commit" in caught.value.hint


def test_missing_branch_lists_those_there_are(repository: Repository) -> None:
    with refused(Reason.REPOSITORY_REFUSED) as caught:
        repository.resolve("mian")
    assert caught.value.hint == "It has: main."


# people


def test_authors_are_all_whom_the_commits_of_these_paths_name(origin: Origin, repository: Repository) -> None:
    start = origin.git("rev-parse", "HEAD")
    origin.commit({"supabase/migrations/2_b.sql": "select 2;"}, who=MIA)
    origin.commit({"supabase/migrations/3_c.sql": "x"}, who=("Zed", "zed@acme.example"))
    message = "Mend b\n\nCo-authored-by: Cleo <cleo@acme.example>\nco-AUTHORED-by:Dan <dan@acme.example>"
    origin.commit(
        {"supabase/migrations/2_b.sql": "select 3;"},
        message,
        GIT_COMMITTER_NAME="GitHub",
        GIT_COMMITTER_EMAIL="noreply@github.com",
    )
    repository.update()
    head = repository.resolve("main")
    found = {person.name for person in repository.authors(head, start, ["migrations/2_b.sql"])}
    assert found == {"Ana", "Mia", "Cleo", "Dan"}
    both = repository.authors(head, start, ["migrations/2_b.sql", "migrations/3_c.sql"])
    assert Author("Zed", "zed@acme.example") in both
    assert repository.authors(head, head, ["migrations/2_b.sql"]) == ()
    assert repository.authors(head, None, []) == ()


def test_unknown_since_only_adds_people(repository: Repository) -> None:
    head = repository.resolve("main")
    assert repository.authors(head, "0" * 40, ["migrations/20260101000000_orders.sql"]) == (Author(*ANA),)


def test_author_of_a_side_branch_is_found_and_who_merged_it_is_not(origin: Origin, repository: Repository) -> None:
    path = "supabase/migrations/2_b.sql"
    origin.git("checkout", "--quiet", "-b", "side")
    only_there = "supabase/migrations/3_c.sql"
    origin.commit({path: "select 2;", only_there: "select 3;"}, who=("Mallory", "mallory@acme.example"))
    origin.git("checkout", "--quiet", "main")
    origin.commit({path: "select 2;"}, who=MIA)  # the same bytes on both sides: git's default walk sees one
    origin.git("merge", "--quiet", "--no-edit", "side", who=("Ben", "ben@acme.example"))
    repository.update()
    found = repository.authors(repository.resolve("main"), None, ["migrations/2_b.sql", "migrations/3_c.sql"])
    assert [person.name for person in found] == ["Mallory", "Mia"]


def test_who_changes_a_file_while_merging_is_its_author(origin: Origin, repository: Repository) -> None:
    path = "supabase/migrations/2_b.sql"
    origin.git("checkout", "--quiet", "-b", "side")
    origin.commit({path: "select 2;"}, who=MIA)
    origin.git("checkout", "--quiet", "main")
    origin.git("merge", "--quiet", "--no-ff", "--no-commit", "side")
    origin.commit({path: "select 'evil';"}, "Merge side", who=("Mallory", "mallory@acme.example"))
    repository.update()
    found = repository.authors(repository.resolve("main"), None, ["migrations/2_b.sql"])
    assert [person.name for person in found] == ["Mallory", "Mia"]


def test_paths_are_names_and_no_patterns(origin: Origin, repository: Repository) -> None:
    origin.commit({"supabase/migrations/2_b.sql": "select 2;"}, who=MIA)
    repository.update()
    assert repository.authors(repository.resolve("main"), None, ["migrations/*", ":/", "migrations/2_?.sql"]) == ()


def test_mailmap_of_the_repository_renames_nobody(origin: Origin, repository: Repository) -> None:
    origin.commit({".mailmap": "Ben <ben@acme.example> <ana@acme.example>\n"})
    repository.update()
    head = repository.resolve("main")
    assert repository.authors(head, None, ["migrations/20260101000000_orders.sql"]) == (Author(*ANA),)


def test_names_and_titles_are_one_printable_line(origin: Origin, repository: Repository) -> None:
    origin.commit({}, "Add\u202e\x1b[31m index\nmore", who=("An\u202ea\x07", "ana@acme.example"))
    repository.update()
    commit = repository.snapshot(repository.resolve("main")).commit
    assert (commit.title, commit.author.name) == ("Add [31m index", "An a")


# fetching


def test_missing_repository_is_unavailable_in_gits_words(tmp_path: Path) -> None:
    with refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        Repository(str(tmp_path / "none"), tmp_path / "cache").update()
    assert "does not appear to be a git repository" in caught.value.message


def test_shallow_repository_is_refused(origin: Origin, tmp_path: Path) -> None:
    origin.commit({FIRST: "select 2;\n"})
    origin.git("clone", "--quiet", "--depth=1", f"file://{origin.folder}", str(tmp_path / "shallow"))
    repository = Repository(str(tmp_path / "shallow"), tmp_path / "cache")
    with refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        repository.update()
    assert "shallow" in caught.value.message


def test_locks_of_a_killed_fetch_do_not_stop_the_next(origin: Origin, repository: Repository) -> None:
    head = origin.commit({FIRST: "select 2;\n"})
    for name in ("refs/heads/main.lock", "packed-refs.lock"):
        (repository.mirror / name).write_text("")
    repository.update()
    assert repository.resolve("main") == head


def test_remote_that_never_answers_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "ssh"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(slow))
    started = time.monotonic()
    with refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        Repository("git@example.invalid:shop.git", tmp_path / "cache", timeout_seconds=1).update()
    assert "longer than 1 seconds" in caught.value.message
    assert time.monotonic() - started < 10
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.02)
    else:
        pytest.fail("the connection outlived its fetch")


def test_fetch_has_the_operators_ssh_and_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "ssh"
    helper.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/env\necho 'fatal: https://ana:hunter2@example.com/ says no' >&2\nexit 1\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("GIT_SSH", str(helper))
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    monkeypatch.setenv("SHOP_PROD_DATABASE_URL", "postgresql://u:secret@h/d")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    with refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        Repository("git@example.invalid:shop.git", tmp_path / "cache").update()
    assert "https://***@example.com/ says no" in caught.value.message
    seen = (tmp_path / "env").read_text()
    assert "GIT_TERMINAL_PROMPT=0" in seen
    assert "secret" not in seen
    assert "HOME" not in clean_environment({})


def test_updates_at_once_all_succeed(origin: Origin, tmp_path: Path) -> None:
    repositories = [Repository(str(origin.folder), tmp_path / "shared") for _ in range(4)]
    answers: list[str] = []

    def work(repository: Repository) -> None:
        repository.update()
        answers.append(repository.resolve("main"))

    threads = [threading.Thread(target=work, args=(repository,)) for repository in repositories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [origin.git("rev-parse", "main")] * 4


def test_update_waits_for_its_turn_only_so_long(origin: Origin, tmp_path: Path) -> None:
    repository = Repository(str(origin.folder), tmp_path / "cache", timeout_seconds=0.2)
    with one_at_a_time(repository.mirror.with_suffix(".lock"), 1), refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        repository.update()
    assert caught.value.exit_code == 5


def test_mirror_is_private(repository: Repository, tmp_path: Path) -> None:
    assert [(tmp_path / "cache").stat().st_mode & 0o77, repository.mirror.stat().st_mode & 0o77] == [0, 0]
    assert repository.mirror.name == hashlib.sha256(repository.url.encode()).hexdigest()[:32] + ".git"


def test_unchanged_repository_is_read_in_a_blink(repository: Repository) -> None:
    """An update, the head and its files: four git processes of ours, a few milliseconds each."""
    started = time.monotonic()
    for _ in range(3):
        read(repository)
    assert time.monotonic() - started < 15
