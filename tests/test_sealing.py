"""Sealing backups for the people who hold a key: what a seal keeps, who opens it, and that nobody else pays for it."""

import hashlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pyrage
import pytest

from ops.errors import OpsError
from ops.errors import Reason
from ops.sealing import check_recipient
from ops.sealing import seal
from ops.sealing import unseal

ROOT = Path(__file__).parent.parent


def never() -> bool:
    return False


def new_key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain"
    path.write_bytes(os.urandom(300_000))
    return path


def test_every_one_of_several_keys_opens_it_and_the_files_are_private(plain: Path) -> None:
    keys = [new_key(), new_key()]
    sealed = plain.with_name("sealed.age")
    passed = seal(plain, sealed, [str(key.to_public()) for key in keys], stop=never)
    for number, key in enumerate(keys):
        opened = plain.with_name(f"opened{number}")
        unseal(sealed, opened, f"# created: today\n# public key: {key.to_public()}\n{key}\n", stop=never)
        assert opened.read_bytes() == plain.read_bytes()
        assert stat.S_IMODE(opened.stat().st_mode) == 0o600
    assert stat.S_IMODE(sealed.stat().st_mode) == 0o600
    assert plain.read_bytes()[:1000] not in sealed.read_bytes()
    assert {passed.plain_sha256, passed.sha256} == {_sha256(plain), _sha256(sealed)}


def test_another_tool_of_the_format_opens_it(plain: Path) -> None:
    key = new_key()
    sealed = plain.with_name("sealed.age")
    seal(plain, sealed, [str(key.to_public())], stop=never)
    assert sealed.read_bytes().startswith(b"age-encryption.org/v1\n-> X25519 ")
    assert pyrage.decrypt(sealed.read_bytes(), [key]) == plain.read_bytes()


def test_another_key_and_no_key_are_told_apart_from_damage(plain: Path) -> None:
    key = new_key()
    sealed = plain.with_name("sealed.age")
    seal(plain, sealed, [str(key.to_public())], stop=never)
    for text, words in (
        (str(new_key()), "is sealed for another key"),
        ("hunter2", "no secret key"),
        ("", "no secret key"),
    ):
        with pytest.raises(OpsError, match=words) as caught:
            unseal(sealed, plain.with_name(f"opened {words}"), text, stop=never)
        assert caught.value.reason is Reason.BAD_CONFIG
        assert "hunter2" not in caught.value.message + caught.value.hint
        plain.with_name(f"opened {words}").unlink(missing_ok=True)
    whole = sealed.read_bytes()
    for number, bent in enumerate((whole[:-7], whole[:200_000] + b"x" + whole[200_001:])):
        sealed.write_bytes(bent)
        with pytest.raises(OpsError) as caught:
            unseal(sealed, plain.with_name(f"bent{number}"), str(key), stop=never)
        assert caught.value.reason is Reason.BACKUP_DAMAGED


def test_a_stop_is_heard_while_it_seals_and_while_it_opens(plain: Path) -> None:
    key = new_key()
    sealed = plain.with_name("sealed.age")
    seal(plain, sealed, [str(key.to_public())], stop=never)
    with pytest.raises(OpsError) as caught:
        seal(plain, plain.with_name("other.age"), [str(key.to_public())], stop=lambda: True)
    assert caught.value.reason is Reason.STOPPED
    with pytest.raises(OpsError) as caught:
        unseal(sealed, plain.with_name("opened"), str(key), stop=lambda: True)
    assert caught.value.reason is Reason.STOPPED


def test_other_threads_go_on_while_it_seals(plain: Path) -> None:
    """A bot that seals a large backup must answer Slack meanwhile."""
    plain.write_bytes(os.urandom(2**20) * 64)
    ended, beats = threading.Event(), 0

    def work() -> None:
        seal(plain, plain.with_name("sealed.age"), [str(new_key().to_public())], stop=never)
        ended.set()

    worker = threading.Thread(target=work)
    worker.start()
    while not ended.wait(0.001):
        beats += 1
    worker.join()
    assert beats > 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnuj", "begins with age1 and has 62 letters"),
        ("hunter2", "begins with age1 and has 62 letters"),
        ("AGE-SECRET-KEY-1" + "Q" * 58, "a secret key stands where the public one belongs"),
    ],
)
def test_what_is_no_public_key_is_refused_and_not_repeated(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        check_recipient(text)
    assert text not in str(caught.value)


def test_plain_backups_do_not_load_the_library() -> None:
    code = (
        "import sys, pathlib; import ops.backup_taking, ops.backup_trial, commands.backups, commands.restore\n"
        "from ops.settings import load_settings\n"
        "load_settings(pathlib.Path('countersign.example.toml'))\n"
        "assert 'ops.sealing' in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('pyrage')]"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_where_the_library_is_missing_it_is_said(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(OpsError, match="the Python package pyrage is not installed") as caught:
        check_recipient("age1x")
    assert caught.value.reason is Reason.TOOLS_MISSING


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
