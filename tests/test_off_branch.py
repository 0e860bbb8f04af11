"""A commit that a forced push took off the branch: nothing of it is asked for or run any more, by whatever word."""

from collections.abc import Callable

from people_talk import ANA
from people_talk import BEN
from people_talk import approve
from people_talk import rules
from people_talk import told
from people_talk import wait_for
from test_half_way import card_of
from test_half_way import decided

from sandbox.stage import Stage
from sandbox.stage import git


def test_what_was_taken_off_the_branch_is_not_gone_on_with(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage(empty=True, prod=rules(1))
    stage.sql(
        "prod", "create table public.people (id int, name text); insert into public.people values (1, 'x'), (2, 'x')"
    )
    stage.commit({"README.md": "shop"})
    stage.migration(
        "20260101000000_items.sql",
        "create table public.items (id int);\n"
        "create unique index concurrently people_name on public.people (name);\n"
        "create table public.more (id int);\n",
    )
    stage.start_bot()
    stage.slack.say(ANA, "/migrate push prod")
    decided(stage, "R-1", "partially_applied")
    stage.sql("prod", "delete from public.people where id = 2")
    assert "R-2 is asked for" in told(stage.slack.say(ANA, "/migrate resume R-1"))
    card_of(stage, "R-2", "[Approve for prod]")

    git(stage.repository, "reset", "--quiet", "--hard", "HEAD~1")

    assert "the branch main, which no longer holds the commit" in approve(stage, BEN, "R-2")
    wait_for(lambda: [one for one in stage.events("superseded") if one.request == "R-2"], 30)
    refused = told(stage.slack.say(ANA, "/migrate resume R-1"))
    assert "The branch main does not hold the commit" in refused
    assert stage.sql("prod", "select to_regclass('public.more')") == [(None,)]
