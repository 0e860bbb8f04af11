"""Freezes, windows, a hotfix, claims, stolen locks and `who`, as people say them to the real bot: one story on one stage."""

from collections.abc import Callable
from datetime import UTC
from datetime import datetime
from datetime import timedelta

from people_talk import ANA
from people_talk import BEN
from people_talk import CHI
from people_talk import DEE
from people_talk import GUS
from people_talk import applied
from people_talk import approve
from people_talk import ask
from people_talk import card
from people_talk import in_order
from people_talk import kinds
from people_talk import rules
from people_talk import settled
from people_talk import small
from people_talk import told
from people_talk import wait_for

from sandbox.stage import Stage

Make = Callable[..., Stage]


def letters(stage: Stage, who: str) -> str:
    """Everything that a person was told directly."""
    return "\n".join(stage.slack.render(one) for one in stage.slack.direct(who).messages)


def test_windows_freezes_and_hotfix_hold_and_let_through_what_they_say(make_stage: Make) -> None:
    far = (datetime.now(UTC) + timedelta(days=3)).strftime("%a")
    when = [f'windows = ["{far} 09:00-10:00 UTC"]', 'expires = "5d"', f'hotfix = ["{DEE}"]', f'overriders = ["{CHI}"]']
    stage = small(make_stage, prod=rules(1, *when, approvers=f'"{BEN}", "{CHI}"'))

    # outside the window it can be asked for and approved, and waits
    ask(stage)
    assert f"waits for the window: {far} 09:00 UTC" in approve(stage, BEN)
    card(stage, f"R-1 · shop/prod: approved, waits for the window: {far} 09:00 UTC")
    settled(stage, 1.5)
    assert kinds(stage) == ["requested", "approved"]
    assert "window closed" in told(stage.slack.say(ANA, "/migrate status prod"))
    shown = told(stage.slack.say(ANA, "/migrate show R-1"))  # as its card does
    assert "Window: closed; opens " in shown
    assert f"R-1 · shop/prod: approved, waits for the window: {far} 09:00 UTC" in shown
    assert "Next: it starts by itself " in card(stage, "R-1 · shop/prod: approved")

    # a hotfix is for the named people alone, and does not pass what somebody froze
    refused = told(stage.slack.say(ANA, "/migrate push prod --hotfix orders fail"))
    assert "may not ask for a hotfix" in refused
    assert "These may: @Dee." in refused
    assert "may not freeze" in told(stage.slack.say(ANA, "/migrate freeze all I want to"))
    assert "Everything is frozen" in told(stage.slack.say(BEN, "/migrate freeze all for 2h incident 42"))
    ask(stage, DEE, "/migrate push prod --hotfix orders fail")
    assert "Hotfix: orders fail; it does not wait for the window" in card(stage, "R-2 · ")
    assert "waits for a freeze to end" in approve(stage, CHI, "R-2")
    settled(stage, 1.5)
    assert not applied(stage)
    wait_for(lambda: "R-2 is approved, and waits" in letters(stage, DEE), what="nobody warned who waits")
    asked = stage.cli("push", "dev", "--json")
    assert (asked.code, asked.json["status"], asked.json["reason"]) == (5, "busy", "target_frozen")

    # whoever may freeze may unfreeze, and who had frozen it is told; then the hotfix runs outside the window
    assert "no longer frozen" in told(stage.slack.say(CHI, "/migrate unfreeze all it is over"))
    ended = "@Chi ended your freeze of everything: it is over"
    wait_for(lambda: ended in letters(stage, BEN), what="the owner was not told")
    wait_for(lambda: applied(stage), 20, "the hotfix did not run")
    [started] = stage.events("started")[:1]
    assert (started.request, (started.data or {})["facts"]["hotfix"]["because"]) == ("R-2", "orders fail")
    [requested] = [one for one in stage.events("requested") if one.request == "R-2"]
    assert (requested.data or {})["plan"]["hotfix"] == {
        "by": f"slack:T0ACME/{DEE}",
        "because": "orders fail",
        "groups": {},
    }
    assert [one.stream for one in stage.events("frozen", "unfrozen")] == ["all", "all"]
    in_order(stage)


def test_claims_stolen_locks_and_who_may(make_stage: Make) -> None:
    prod = rules(
        1, f'overriders = ["{CHI}"]', f'requesters = ["{ANA}", "{GUS}", "{DEE}"]', approvers=f'"{BEN}", "{CHI}"'
    )
    stage = small(make_stage, prod=prod)
    ask(stage)

    # who looks at it is on the card, and who comes later is told
    assert "You are looking at R-1" in told(stage.slack.say(BEN, "/migrate claim R-1"))
    wait_for(lambda: "Looked at by: @Ben" in card(stage, "R-1 · "))
    assert "@Ben is looking at it, too" in told(stage.slack.say(CHI, "/migrate claim R-1 for 2h"))
    assert "8 hours at most" in told(stage.slack.say(CHI, "/migrate claim R-1 for 2d"))

    # who may, asked now; and who cannot
    who = told(stage.slack.say(ANA, "/migrate who prod"))
    assert "Approve, 1 of: @Ben, @Chi" in who
    assert "asked by @Ana, who cannot decide on it" in who
    assert "looked at by @Ben, @Chi" in who
    assert stage.cli("who", "prod", "--json").json["roles"][0] == {"may": "May ask", "named": [ANA, GUS, DEE]}

    # a lock is taken away by overriders alone, with a reason, and its owner is told
    assert "locked" in told(stage.slack.say(DEE, "/migrate lock prod for 2h the import runs"))
    assert "may not take a lock" in told(stage.slack.say(ANA, "/migrate unlock prod --steal I want to"))
    assert "needs a reason" in told(stage.slack.say(CHI, "/migrate unlock prod --steal"))
    approve(stage, BEN)
    wait_for(lambda: "R-1 is approved, and waits" in letters(stage, DEE), what="the lock's owner was not warned")
    assert "is unlocked; R-1 can start now" in told(stage.slack.say(CHI, "/migrate unlock prod --steal it hangs"))
    taken = "@Chi took away your lock of shop/prod: it hangs"
    wait_for(lambda: taken in letters(stage, DEE), what="the lock's owner was not told")
    wait_for(lambda: applied(stage), 20)
    assert stage.cli("unlock", "prod", "--steal", "x", "--json").json["reason"] == "not_at_this_front"
    in_order(stage)
