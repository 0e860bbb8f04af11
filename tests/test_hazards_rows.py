"""Conditions that only look like ones, MERGE, and functions that a plan makes and calls: what reading finds of them."""

import pytest

from ops.hazards import find_hazards
from ops.migrations import read_folder


def told(*texts: str) -> list[tuple[str, str]]:
    files = {f"{number}_file.sql": text.encode() for number, text in enumerate(texts, 1)}
    hazards = find_hazards(read_folder(files).migrations, squawk=None)
    return [(one.rule, one.level.value) for one in hazards if one.rule != "linter-failed"]


ALL_GONE = [("delete-without-where", "danger")]
PERHAPS = [("delete-without-where", "caution")]
SOME_GONE = [("rows-deleted", "info")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("delete from orders where id = id;", ALL_GONE),
        ("delete from orders o where o.id >= o.id;", ALL_GONE),
        ("delete from orders where id is not distinct from id;", ALL_GONE),
        ("delete from orders where state = 'x' or true;", ALL_GONE),
        ("delete from orders where true and (1 = 1 or a);", ALL_GONE),
        ("delete from orders where not false;", ALL_GONE),
        ("delete from orders where not (a and false);", ALL_GONE),
        ("delete from orders where 1 <> 2;", ALL_GONE),
        ("delete from orders where (select true);", ALL_GONE),
        ("delete from orders where true is true;", ALL_GONE),
        ("delete from orders where note is null or note is not null;", ALL_GONE),
        ("delete from orders using other where other.x = 1;", ALL_GONE),
        ("delete from orders o using other u, third where u.x = third.x;", ALL_GONE),
        ("delete from orders where id is not null;", PERHAPS),
        ("delete from orders where order_id is not null;", PERHAPS),
        ("delete from orders where id is not null and 1 = 1;", PERHAPS),
        ("delete from orders where deleted_at is not null;", SOME_GONE),
        ("delete from orders where parent_id is not null;", SOME_GONE),
        ("delete from orders where id is not null and state = 'x';", SOME_GONE),
        ("delete from orders using other where other.id = orders.other_id;", SOME_GONE),
        ("delete from orders o using other where other.id = other_id;", SOME_GONE),
        ("delete from orders where id = other_id;", SOME_GONE),
        ("delete from orders where false;", []),
        ("delete from orders where 1 = 0;", []),
        ("update orders set a = 1 where id = id;", [("update-without-where", "danger")]),
        ("update orders set a = 1 where id is not null;", [("update-without-where", "caution")]),
        ("update orders set a = u.b from other u where u.x = 1;", [("update-without-where", "danger")]),
        ("update orders set a = b where b is not null;", []),
        ("update orders set a = u.b from other u where u.id = orders.id;", []),
    ],
)
def test_a_condition_that_keeps_no_row_back_is_none(text: str, expected: list[tuple[str, str]]) -> None:
    assert told(text) == expected


ON = "merge into orders o using other u on"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{ON} o.id = u.id when matched then delete;", PERHAPS),
        (f"{ON} true when matched then delete;", ALL_GONE),
        (f"{ON} u.x = 1 when matched then delete;", ALL_GONE),
        (f"{ON} o.id = u.id when not matched by source then delete;", ALL_GONE),
        (f"{ON} o.id = u.id when matched and u.gone then delete;", SOME_GONE),
        (f"{ON} o.id = u.id when matched and true then delete;", PERHAPS),
        (f"{ON} o.id = u.id when matched then update set a = u.a when not matched then insert values (1);", []),
        (f"{ON} 1 = 1 when matched then update set a = u.a;", [("update-without-where", "danger")]),
        (f"{ON} o.id = u.id when not matched by source then update set a = 1;", [("update-without-where", "danger")]),
        (f"{ON} o.id = u.id when matched then do nothing;", []),
        ("create temp table o (id int); merge into o using u on true when matched then delete;",
         [("temporary-table", "info")]),
    ],
)  # fmt: skip
def test_merge_counts_as_what_it_does(text: str, expected: list[tuple[str, str]]) -> None:
    assert told(text) == expected


@pytest.mark.parametrize(
    "check", ["true or owner = auth.uid()", "owner = owner", "(select true)", "not false", "auth.uid() is null or true"]
)
def test_a_policy_that_says_true_in_other_words_lets_all_in(check: str) -> None:
    assert told(f"create policy p on orders for update using ({check});") == [("policy-always-true", "danger")]


def test_a_condition_that_is_nested_deep_is_read_to_the_end_of_patience() -> None:
    deep = "(" * 300 + "a" + " or true)" * 300
    assert told(f"delete from orders where {deep};") in (ALL_GONE, SOME_GONE)


# --- functions


BUILT = "returns int language plpgsql as $$ begin execute 'drop table ' || 'a'; return 1; end $$;"
PLAIN = "returns int language plpgsql as $$ begin drop table a; return 1; end $$;"
CALM = "returns int language sql as 'select 1';"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((f"create function f() {BUILT}",), ["function-builds-sql"]),
        ((f"create function f() {BUILT} select f();",), ["function-builds-sql", "calls-unread-function"]),
        ((f"create function f() {BUILT}", "select * from public.f();"), ["function-builds-sql", "calls-unread-function"]),
        ((f"create function f() {BUILT} do $q$ begin perform public.f(); end $q$;",), ["function-builds-sql"]),
        ((f"create function f() {PLAIN} select f();",), ["calls-unread-function"]),
        ((f"create function f() {PLAIN}",), []),
        ((f"create function f() {CALM} select f();",), []),
        (("call tidy_up();",), ["calls-unread-function"]),
        (("select public.tidy_up();",), ["calls-unread-function"]),
        (("select internal.tidy_up(1), 2;",), ["calls-unread-function"]),
        (("select cron.schedule('a', 'b', 'c');",), []),
        (("select setval('a', 1);",), []),
        (("insert into a values (public.next_number());",), []),
    ],
)  # fmt: skip
def test_functions_that_nobody_has_judged(texts: tuple[str, ...], expected: list[str]) -> None:
    found = [one for one in told(*texts) if one[0] in ("function-builds-sql", "calls-unread-function")]
    assert sorted(rule for rule, _ in found) == sorted(expected)
