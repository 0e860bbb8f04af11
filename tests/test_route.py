"""The main route as people take it: asked for in Slack, approved by somebody else, run, and written down."""

from people_talk import card
from slack_rules import problems

from sandbox.stage import Stage


def test_a_push_is_approved_by_somebody_else_and_runs(stage: Stage) -> None:
    stage.slack.say("U0ANA", "/migrate push prod")
    card(stage, "Approve for prod")

    answer = stage.slack.click("U0BEN", "Approve", about="R-1")

    assert "Your approval of R-1 is recorded" in answer.text(20)
    card(stage, "R-1 · shop/prod: done", 60)
    assert stage.sql("prod", "select count(*) from supabase_migrations.schema_migrations") == [(17,)]
    kinds = [event.kind for event in stage.events()]
    assert kinds.index("approved") < kinds.index("started") < kinds.index("backup_proven") < kinds.index("succeeded")
    assert problems(stage.slack.posts()) == []
    assert stage.cli("audit", "verify").code == 0
