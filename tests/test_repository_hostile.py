"""Nothing in a repository, and nothing that is asked of one, makes git do something else."""

import os
import subprocess
from pathlib import Path

import pytest
from git_origin import ANA
from git_origin import FIRST
from git_origin import Origin
from git_origin import make_origin
from git_origin import make_repository
from git_origin import read
from git_origin import refused

from ops.errors import Reason
from ops.git import FILE_LIMIT_BYTES
from ops.repository import Author
from ops.repository import Repository


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return make_origin(tmp_path)


@pytest.fixture
def repository(origin: Origin, tmp_path: Path) -> Repository:
    return make_repository(origin, tmp_path)


@pytest.mark.parametrize(
    ("mode", "path", "words"),
    [
        ("120000", "supabase/migrations/2_link.sql", "supabase/migrations/2_link.sql is a symbolic link"),
        ("120000", "supabase/config.toml", "supabase/config.toml is a symbolic link"),
        ("160000", "supabase/migrations/2_module.sql", "supabase/migrations/2_module.sql is a submodule"),
        ("100644", "supabase/migrations/2_a\nb.sql", r"2_a\nb.sql"),
        ("100644", "supabase/migrations/2_\x1b[31m.sql", r"2_\x1b[31m.sql"),
        ("100644", "supabase/migrations/2_\u202elqs.sql", r"2_\u202elqs.sql"),
        ("100644", "supabase/migrations/..\\..\\2_a.sql", "characters that cannot be shown"),
    ],
    ids=["link", "linked config", "submodule", "newline", "escape", "direction", "backslash"],
)
def test_odd_entry_is_refused_by_its_path(
    origin: Origin, repository: Repository, mode: str, path: str, words: str
) -> None:
    sha = origin.git("rev-parse", "HEAD") if mode == "160000" else origin.blob("/etc/passwd")
    origin.commit_entry(mode, sha, path)
    with refused(Reason.REPOSITORY_REFUSED) as caught:
        read(repository)
    assert words in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("folder", ["supabase/migrations", "supabase"])
def test_folder_that_is_a_link_is_refused(origin: Origin, repository: Repository, folder: str) -> None:
    origin.git("rm", "--quiet", "-r", "--cached", folder)
    origin.commit_entry("120000", origin.blob("/etc"), folder)
    with refused(Reason.REPOSITORY_REFUSED) as caught:
        read(repository)
    assert f"{folder} is a symbolic link" in caught.value.message


def test_tree_that_climbs_out_is_not_even_fetched(origin: Origin, repository: Repository) -> None:
    entry = b"100644 ..\0" + bytes.fromhex(origin.blob("x"))
    (origin.folder / "tree").write_bytes(entry)
    tree = origin.git("hash-object", "-w", "-t", "tree", "--literally", "tree")
    commit = origin.git("commit-tree", tree, "-m", "Climb")
    origin.git("update-ref", "refs/heads/climb", commit)
    with refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        repository.update()
    assert "hasDotdot" in caught.value.message
    assert repository.resolve("main")


def test_file_over_the_limit_is_refused_and_one_at_the_limit_is_read(origin: Origin, repository: Repository) -> None:
    path = "supabase/migrations/2_big.sql"
    origin.commit({path: "-" * FILE_LIMIT_BYTES})
    assert len(read(repository)["migrations/2_big.sql"]) == FILE_LIMIT_BYTES
    origin.commit({path: "-" * (FILE_LIMIT_BYTES + 1)})
    with refused(Reason.REPOSITORY_REFUSED) as caught:
        read(repository)
    assert f"{path} has 8,388,609 bytes" in caught.value.message


def test_all_files_together_have_a_limit(origin: Origin, repository: Repository) -> None:
    sha = origin.blob("-" * FILE_LIMIT_BYTES)
    for number in range(9):
        origin.git("update-index", "--add", "--cacheinfo", f"100644,{sha},supabase/migrations/{number}_a.sql")
    origin.git("commit", "--quiet", "--message=Nine times the limit of one")
    with refused(Reason.REPOSITORY_REFUSED):
        read(repository)


def test_replace_refs_and_grafts_change_nothing(origin: Origin, repository: Repository) -> None:
    head = origin.git("rev-parse", "HEAD")
    real = origin.git("rev-parse", f"HEAD:{FIRST}")
    evil = origin.blob("drop schema public cascade;")
    for folder in (origin.folder / ".git", repository.mirror):
        git = ["git", f"--git-dir={folder}"]
        subprocess.run([*git, "hash-object", "-w", "--stdin"], input=b"drop schema public cascade;", check=True)
        subprocess.run([*git, "replace", real, evil], check=True)
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info/grafts").write_text(f"{head} {'1' * 40}\n")
    assert read(repository)["migrations/20260101000000_orders.sql"] == b"select 1;\n"
    assert repository.authors(head, None, ["migrations/20260101000000_orders.sql"]) == (Author(*ANA),)


def test_object_that_rotted_in_the_mirror_is_noticed(origin: Origin, repository: Repository) -> None:
    git = ["git", f"--git-dir={repository.mirror}"]
    for pack in (repository.mirror / "objects/pack").glob("*.pack"):
        content = pack.read_bytes()
        pack.unlink()
        subprocess.run([*git, "unpack-objects", "-q"], input=content, check=True)
    evil = subprocess.run([*git, "hash-object", "-w", "--stdin"], input=b"drop;", capture_output=True, check=True)
    sha, other = origin.git("rev-parse", f"HEAD:{FIRST}"), evil.stdout.decode()
    loose = [repository.mirror / "objects" / name[:2] / name[2:].strip() for name in (sha, other)]
    loose[0].chmod(0o600)
    loose[0].write_bytes(loose[1].read_bytes())
    with refused(Reason.REPOSITORY_UNAVAILABLE) as caught:
        repository.snapshot(repository.resolve("main"))
    assert "damaged" in caught.value.message


def test_nothing_of_a_local_repository_runs(origin: Origin, repository: Repository, tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    script = tmp_path / "trap.sh"
    script.write_text(f"#!/bin/sh\ntouch {trap}\nexit 1\n")
    script.chmod(0o755)
    origin.commit({FIRST: "select 2;\n", ".gitattributes": "*.sql filter=evil diff=evil\n"})
    missing = origin.git("rev-parse", f"HEAD:{FIRST}")
    hooks = origin.folder / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-receive", "post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"):
        (hooks / name).symlink_to(script)
    for setting in (
        *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.gitProxy", "diff.external"),
        *("uploadpack.packObjectsHook", "core.alternateRefsCommand", "filter.evil.smudge", "diff.evil.textconv"),
        *("diff.evil.command", "credential.helper", "gpg.program"),
    ):
        origin.git("config", setting, str(script))
    origin.git("config", "core.hooksPath", str(hooks))
    # A partial clone: git asks for an object that is missing, by a command that the repository names.
    for setting, value in (
        ("core.repositoryFormatVersion", "1"),
        ("remote.origin.url", str(origin.folder)),
        ("remote.origin.uploadpack", str(script)),
        ("remote.origin.promisor", "true"),
        ("extensions.partialClone", "origin"),
    ):
        origin.git("config", setting, value)
    assert read(repository)["migrations/20260101000000_orders.sql"] == b"select 2;\n"

    (origin.folder / ".git/objects" / missing[:2] / missing[2:]).unlink()
    with refused(Reason.REPOSITORY_UNAVAILABLE):
        Repository(str(origin.folder), tmp_path / "other").update()
    assert not trap.exists()

    with pytest.raises(subprocess.CalledProcessError):
        origin.git("cat-file", "-p", missing)
    assert trap.exists()  # the trap was real


def test_local_repository_may_belong_to_somebody_else(origin: Origin, repository: Repository) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    for path in (origin.folder, *origin.folder.rglob("*")):
        os.chown(path, 65534, 65534)
    head = subprocess.run(
        ["git", f"--git-dir={origin.folder}/.git", "commit-tree", "-p", "main", "-m", "x", "main^{tree}"],
        env={
            "PATH": os.environ["PATH"],
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (origin.folder / ".git/refs/heads/main").write_text(head + "\n")
    repository.update()
    assert repository.resolve("main") == head


def test_option_like_branch_is_fetched_but_never_asked_for(
    origin: Origin, repository: Repository, tmp_path: Path
) -> None:
    name = f"--upload-pack=touch${{IFS}}{tmp_path}/trapped"
    origin.git("update-ref", f"refs/heads/{name}", "HEAD")
    repository.update()
    with refused(Reason.BAD_USAGE):
        repository.resolve(name)
    with refused(Reason.BAD_USAGE):
        repository.resolve("main", name)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-d",
        "a..b",
        "a b",
        "a\nb",
        "HEAD~1",
        "a^",
        "x:y",
        "@",
        "a@{1}",
        "a.lock",
        "/a",
        "a/",
        ".a",
        "a\u202eb",
        "a*",
        "a" * 201,
    ],
)
def test_name_that_git_would_not_take_is_refused(repository: Repository, ref: str) -> None:
    with refused(Reason.BAD_USAGE):
        repository.resolve("main", ref)


@pytest.mark.parametrize("commit", ["main", "HEAD", "--all", "0" * 39, "0" * 41, "A" * 40])
def test_snapshot_takes_whole_commits_only(repository: Repository, commit: str) -> None:
    with refused(Reason.BAD_USAGE):
        repository.snapshot(commit)


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=touch x",
        "http://github.com/acme/shop.git",
        "git://github.com/acme/shop.git",
        "https://:hunter2@github.com/acme/shop.git",
        "https://hunter2@github.com/acme/shop.git",
        "ssh://git:hunter2@github.com/acme/shop.git",
        "git:hunter2@github.com:acme/shop.git",
        "ssh://-oProxyCommand=touch/x",
        "git@-oProxyCommand=x:shop",
        "https://[::1",
        "shop",
        "",
    ],
)
def test_url_of_another_kind_or_with_a_secret_is_refused(tmp_path: Path, url: str) -> None:
    with refused(Reason.BAD_CONFIG) as caught:
        Repository(url, tmp_path)
    assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "url", ["https://github.com/acme/shop.git", "git@github.com:acme/shop.git", "ssh://git@example.com:2222/shop"]
)
def test_url_of_a_remote_is_taken(tmp_path: Path, url: str) -> None:
    assert Repository(url, tmp_path).url == url


@pytest.mark.parametrize("folder", ["../x", "/etc", "a/../../b"])
def test_supabase_folder_stays_inside(tmp_path: Path, folder: str) -> None:
    with refused(Reason.BAD_CONFIG):
        Repository(str(tmp_path), tmp_path, supabase=folder)
