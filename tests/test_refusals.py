"""Who is refused and told why; what is refused when Slack or the log cannot be relied on; what a crash leaves."""

import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest
from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import GUS
from people_talk import OTTO
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import cards
from people_talk import in_order
from people_talk import kinds
from people_talk import refusals
from people_talk import rules
from people_talk import small
from people_talk import told
from people_talk import value_of

from audit import Log
from sandbox.slack_limits import Drop
from sandbox.slack_state import File
from sandbox.slack_state import Message
from sandbox.stage import Stage

Make = Callable[..., Stage]


def know_ben(stage: Stage) -> None:
    """Ben's commits are known to be his."""
    text = stage.config.read_text()
    stage.config.write_text(text.replace("[people]\n", '[people]\n"ben@acme.example" = "U0BEN"\n'))


def test_those_who_may_never_approve(make_stage: Make) -> None:
    everybody = ("U0ANA", BEN, CHI, DEE, GUS, OTTO, "U0ROBO", "U0EVE")
    stage = small(make_stage, rules(1, approvers='"@database-owners", "U0ANA"'), start=False)
    workspace = stage.slack.workspace
    workspace.add_person("U0ROBO", "Robo", is_bot=True)
    workspace.add_person("U0EVE", "Eve", deleted=True)
    workspace.add_person("U0FAY", "Fay", is_ultra_restricted=True)
    workspace.change_group("database-owners", users=(*everybody, "U0FAY"))  # a group may hold anybody
    know_ben(stage)
    stage.migration("20260101000002_by_ben.sql", "create table public.by_ben (id int);", author="Ben")
    stage.start_bot()
    message = ask(stage)
    value = value_of(message, "approve")

    never = {
        ANA: ("You requested R-1, so you cannot decide on it.", "self_approval"),
        BEN: ("You wrote a commit that R-1 runs, so you cannot decide on it.", "author_approval"),
        GUS: ("you are a guest", "not_a_member"),
        "U0FAY": ("you are a guest", "not_a_member"),
        OTTO: ("you belong to another workspace", "not_a_member"),
        "U0ROBO": ("you are a bot", "not_a_member"),
        "U0EVE": ("your account is deactivated", "not_a_member"),
        "U0NOBODY": ("Slack does not know you", "not_a_member"),
        "U0AUDRA": ("You are not one of those who may approve R-1.", "not_an_approver"),
    }
    for person, (why, _) in never.items():
        answer = told(stage.slack.forge(person, value=value, action_id="approve", message_ts=message.ts))
        assert why in answer, person
        assert "What to do: " in answer, person
        assert all(told_to.only_for == person for told_to in stage.slack.channel("deploys").alone[-1:]), person
    for person in (ANA, BEN):
        assert "so you cannot decide on it" in told(stage.slack.say(person, "/migrate reject R-1 because"))
        assert "so you cannot decide on it" in told(stage.slack.say(person, "/migrate approve R-1"))

    assert refusals(stage)[: len(never)] == [code for _, code in never.values()]
    assert kinds(stage) == ["requested"]
    assert "It has all it needs" in approve(stage, CHI)
    card(stage, ": done")
    in_order(stage)


def test_a_person_of_a_terminal_is_told_to_decide_in_slack(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    digest = str((stage.events("requested")[0].data or {})["digest"])
    refused = stage.cli("approve", "R-1", digest[:16], "--json")
    assert (refused.code, refused.json["reason"]) == (3, "terminal_may_not_approve")
    assert "@database-owners" in refused.json["hint"]
    assert kinds(stage) == ["requested"]
    in_order(stage)


def test_forged_and_stale_values_decide_nothing(make_stage: Make) -> None:
    stage = small(make_stage)
    first = ask(stage)
    value = value_of(first, "approve")
    digest = value.split()[2]
    other = cards(stage)[0]
    stage.slack.say(DEE, "/migrate show R-1")
    elsewhere = stage.slack.state.put(Message("1700000000.000001", "C0DEPLOYS", "U0MALLORY", "not the card"))

    forged = [
        ("approve", f"approve R-1 {'0' * 16}", first.ts, "That is not the plan of R-1", "stale_card"),
        ("stop", f"stop R-1 {'0' * 16}", first.ts, "That is not the plan of R-1", "stale_card"),
        ("cancel", f"cancel R-1 {'0' * 16}", first.ts, "That is not the plan of R-1", "stale_card"),
        ("approve", f"approve R-2 {digest}", first.ts, "There is no request 'R-2'.", "unknown_request"),
        ("approve", f"reject R-1 {digest}", first.ts, "does not say which request", "forged_value"),
        ("reject", value, first.ts, "does not say which request", "forged_value"),
        ("approve", value, elsewhere.ts, "That message is not the card of R-1.", "stale_card"),
        ("approve", value, "1.000000", "That message is not the card of R-1.", "stale_card"),
        ("approve", f"{value} {'f' * 16}", first.ts, "was used already or was given to somebody", "stale_card"),
        ("approve", "approve", first.ts, "does not say which request", "forged_value"),
        ("approve", "", first.ts, "does not say which request", "forged_value"),
        ("approve", value + "\nx", first.ts, "does not say which request", "forged_value"),
        ("approve", value.upper(), first.ts, "does not say which request", "forged_value"),
        ("adopt", f"adopt R-1 {digest}", first.ts, "does not say which request", "forged_value"),
        ("x" * 250, "y" * 1900, first.ts, "does not say which request", "forged_value"),
    ]
    for verb, sent, where, words, _ in forged:
        who = ANA if verb in {"stop", "cancel"} else BEN  # who may do it, did the value name the plan
        answer = told(stage.slack.forge(who, value=sent, action_id=verb, message_ts=where))
        assert words in answer, sent
        assert "What to do: " in answer, sent
    assert refusals(stage) == [reason for *_, reason in forged]
    assert other.ts == first.ts
    assert kinds(stage) == ["requested"]
    in_order(stage)


def test_a_form_that_the_bot_does_not_have_approves_nothing(make_stage: Make) -> None:
    """The form of a no, its verb and value exchanged for a yes from no card at all."""
    stage = small(make_stage)
    message = ask(stage)
    view = stage.slack.click(BEN, "Reject", about="R-1").modal(10)
    assert view is not None
    changed = {**view.body, "callback_id": "approve", "private_metadata": value_of(message, "approve")}
    forged = stage.slack.state.change_view(view, changed)

    answer = stage.slack.submit(BEN, forged, {"reason": "because I can"})

    assert "does not say which request" in told(answer)
    assert kinds(stage) == ["requested"]
    assert refusals(stage) == ["forged_value"]
    in_order(stage)


def test_slack_that_does_not_say_who_somebody_is_lets_nobody_decide(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    for fault in ("internal_error", "fatal_error", "not_authed"):
        stage.slack.fail("users.info", fault)
        answer = approve(stage, BEN)
        assert f"Slack did not say who you are ({fault})" in answer
        assert "Try again in a moment." in answer
    stage.slack.fail("usergroups.list", *[Drop.BEFORE] * 2)  # a read over a connection that broke is asked once more
    assert "Slack did not say who is in @database-owners" in approve(stage, BEN)
    stage.slack.fail("usergroups.users.list", "no_such_subteam")
    assert "Slack did not say who is in @database-owners" in approve(stage, BEN)
    stage.slack.fail("conversations.info", "internal_error")
    assert "Slack does not say that this channel is our company's alone" in approve(stage, BEN)
    stage.slack.slow("users.info", 30)
    late = stage.slack.click(BEN, "Approve", about="R-1")
    assert "Slack did not say who you are (TimeoutError)" in told(late)
    stage.slack.slow("users.info", 0)
    assert kinds(stage) == ["requested"]

    stage.slack.fail("users.info", 429)  # a short wait that Slack asks for is waited for
    assert "It has all it needs" in approve(stage, BEN)
    card(stage, ": done")
    assert set(refusals(stage)) == {"identity_unproven", "shared_channel"}
    in_order(stage)


def test_a_rate_limit_that_lasts_at_the_click_is_a_refusal(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    stage.slack.fail("users.info", *[429] * 3)
    answer = approve(stage, BEN)
    assert "(ratelimited), so this does not count." in answer or "(TimeoutError), so this does not count." in answer
    assert kinds(stage) == ["requested"]
    assert "It has all it needs" in approve(stage, BEN)
    in_order(stage)


def test_a_card_in_a_channel_that_is_shared_meanwhile_decides_nothing(make_stage: Make) -> None:
    stage = small(make_stage)
    ask(stage)
    stage.slack.workspace.share_channel("deploys", "Otto")
    assert "company's alone" in approve(stage, BEN)
    told(stage.slack.say(DEE, "/migrate push dev"))
    assert kinds(stage) == ["requested"]
    assert "you belong to another workspace" in told(stage.slack.mention(OTTO, "deploys", "show R-1"))
    in_order(stage)


# --- the log ------------------------------------------------------------------------------------------


NOTHING_DONE = "The audit log cannot record this, so nothing was done."


def nobody_is_served(stage: Stage, message: Message) -> None:
    """Every way in says that nothing was done, and nothing is."""
    assert NOTHING_DONE in told(stage.slack.say(ANA, "/migrate push dev"))
    assert NOTHING_DONE in told(stage.slack.mention(ANA, "deploys", "push dev"))
    clicked = stage.slack.click_message(BEN, message, "Approve")
    assert NOTHING_DONE in told(clicked)
    assert stage.sql("dev", "select to_regclass('public.notes')") == [(None,)]
    assert stage.sql("prod", "select to_regclass('public.notes')") == [(None,)]


def removed(path: Path) -> None:
    path.unlink()


def replaced_by_another(path: Path) -> None:
    path.rename(path.with_name("old.db"))
    Log.create(path.with_name("new.db"))
    path.with_name("new.db").rename(path)


def replaced_by_its_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


@pytest.mark.parametrize("harm", [removed, replaced_by_another, replaced_by_its_copy], ids=lambda harm: harm.__name__)
def test_a_log_that_is_not_there_any_more_stops_everything_and_people_are_told(
    make_stage: Make, harm: Callable[[Path], None]
) -> None:
    stage = small(make_stage)
    message = ask(stage)
    view = stage.slack.click_message(BEN, message, "Reject").modal(10)
    assert view is not None
    harm(stage.log_path)

    nobody_is_served(stage, message)

    sent = stage.slack.submit(BEN, view, {"reason": "no log, no act"})
    assert NOTHING_DONE in sent.errors["reason"]
    assert stage.slack.click_message(CHI, message, "Reject").modal(0.3) is None


@pytest.fixture
def full_disk() -> Iterator[Callable[[Stage], Callable[[], None]]]:
    """Puts a stage's `var` on a small disk; what it returns fills that disk and, called again, frees it."""
    mounted: list[Path] = []

    def prepare(stage: Stage) -> Callable[[], None]:
        folder = stage.folder / "var"
        log = stage.log_path.read_bytes()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("needs the right to mount a small disk")
        mounted.append(folder)
        stage.log_path.write_bytes(log)
        stage.log_path.chmod(0o600)
        ballast = folder / "ballast"

        def fill() -> None:
            if ballast.exists():
                ballast.unlink()
                return
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    return

        return fill

    yield prepare
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_stops_everything_until_there_is_room(
    make_stage: Make, full_disk: Callable[[Stage], Callable[[], None]]
) -> None:
    stage = small(make_stage, start=False)
    fill_or_free = full_disk(stage)
    stage.start_bot()
    message = ask(stage)
    fill_or_free()
    wal = stage.log_path.with_name("audit.db-wal")
    for _ in range(100):  # the WAL may still have room inside the blocks that it has
        before = wal.stat().st_size
        if NOTHING_DONE in told(stage.slack.say(DEE, "/migrate status")):
            break
        assert wal.stat().st_size >= before

    nobody_is_served(stage, message)
    fill_or_free()

    assert "It has all it needs" in approve(stage, BEN)
    card(stage, ": done")
    assert stage.cli("audit", "verify").code == 0
    in_order(stage)


def test_without_a_log_the_bot_does_not_start(make_stage: Make) -> None:
    stage = small(make_stage, start=False)
    stage.log_path.unlink()
    ran = stage.cli("bot", "--json")
    assert (ran.code, ran.json["reason"]) == (2, "no_log")
    assert not stage.log_path.exists()
    assert stage.slack.calls == []


def test_an_upload_that_names_no_file_is_no_proof(make_stage: Make) -> None:
    """A file of the same name that somebody shares in the channel does not make the card approvable."""
    stage = small(make_stage, start=False)
    stage.slack.fail("files.completeUploadExternal", *["internal_error"] * 2)
    stage.start_bot()
    told(stage.slack.say(ANA, "/migrate push prod"))
    stage.slack.state.files["F0FAKE"] = File("F0FAKE", "R-1.sql", 3, b"abc", channel="C0DEPLOYS", complete=True)
    card(stage, "waiting for approval")
    answer = stage.slack.say(BEN, f"/migrate approve R-1 {(stage.events('requested')[0].data or {})['digest'][:16]}")
    assert "The SQL of R-1 has not reached the thread yet" in told(answer)
    assert refusals(stage) == ["not_shown_yet"]
    card(stage, "[Approve for prod]", 15)
    in_order(stage)
