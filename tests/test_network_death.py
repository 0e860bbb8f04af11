"""A bot whose machine or network is gone says no goodbye: its sessions, and their locks, must not outlive it for hours."""

from functools import partial

from run_support import push_json

from ops.database import connect
from ops.guard import Guard
from sandbox.stage import Stage

HALF_A_MINUTE = {
    "tcp_keepalives_count": "3",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_user_timeout": "30000",
}


def test_the_server_is_told_to_ask_whether_the_client_lives(small: Stage) -> None:
    """The guard's session and the one that migrates: half a minute, where TCP's own default is two hours."""
    asked = "create table asked as select name, setting from pg_settings where name like 'tcp_%' order by name;"
    small.migration("20260102000000_asked.sql", asked)
    assert push_json(small)["status"] == "succeeded"
    assert dict(small.sql("dev", "select name, setting from asked")) == HALF_A_MINUTE
    url = small.environment["SHOP_DEV_DATABASE_URL"]
    with Guard(partial(connect, url, purpose="guard R-7"), "shop/dev") as guard:
        query = b"select name, setting from pg_settings where name like 'tcp_%'"
        assert dict(guard.ask(lambda session: session.execute(query).fetchall())) == HALF_A_MINUTE
