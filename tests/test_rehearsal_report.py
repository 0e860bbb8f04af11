"""A report of any size: what is judged is whole, what people and the log get stays small and keeps what matters."""

import json
from dataclasses import replace

from ops.rehearsal.report import ChangedObject
from ops.rehearsal.report import Dropped
from ops.rehearsal.report import FileFacts
from ops.rehearsal.report import HeldLock
from ops.rehearsal.report import Outcome
from ops.rehearsal.report import Rehearsal
from ops.rehearsal.report import Rewrite
from ops.rehearsal.report import StatementFacts
from ops.rehearsal.report import TouchedRows
from ops.rehearsal.report import bounded
from ops.rehearsal.report import without_excess


def test_a_report_of_any_size_stays_small_and_keeps_what_matters():
    dull = [StatementFacts(index, index + 1, 0.5, rows=(TouchedRows("t", 1, 0, 0),)) for index in range(1000)]
    telling = StatementFacts(
        1000, 1001, 0.001, locks=tuple(HeldLock(f"public.t{number}", "ShareLock") for number in range(300)),
        drops=(Dropped("table", "public.orders", cascaded=False),),
    )  # fmt: skip
    whole = Rehearsal(
        Outcome.PASSED,
        files=(FileFacts("1", "1_x.sql", "passed", 1.0, "ab", (*dull, telling), ran=1001),),
        changes=tuple(ChangedObject("created", "table", "public", f"t{number}", "") for number in range(900)),
        diff_text="+ ä line\n" * 100_000,
    )
    found = bounded(whole)
    (file,) = found.files
    assert (len(file.statements), file.left_out, file.ran) == (200, 801, 1001)
    last = file.statements[-1]
    assert (last.drops, len(last.locks), last.more) == (telling.drops, 50, 250)
    assert [facts.index for facts in file.statements] == sorted(facts.index for facts in file.statements)
    assert (len(found.changes), found.changes_left_out) == (500, 400)
    assert len(json.dumps(found.to_json())) < 150_000
    *lines, end = found.diff_text.splitlines()
    assert set(lines) == {"+ ä line"}
    assert len("\n".join(lines).encode()) <= 256 * 1024
    assert end == f"\\ Cut here: {100_000 - len(lines)} more lines are not shown."
    assert bounded(found) == replace(found, diff_text=bounded(found).diff_text)


def test_what_holds_data_is_cut_last():
    views = [Dropped("function", f"public.a{number}()", cascaded=True) for number in range(300)]
    tables = (Dropped("table", "public.zorders", cascaded=True), Dropped("table column", "public.t.z", cascaded=True))
    indexes = [Rewrite(f"public.i{number}", "index", 1, 1) for number in range(300)]
    rewritten = Rewrite("public.t", "table", 1, 1)
    dull = [StatementFacts(index, 1, 9.0, drops=(views[0],)) for index in range(300)]
    telling = StatementFacts(300, 1, 0.1, drops=(*views, *tables), rewrites=(*indexes, rewritten))
    whole = Rehearsal(Outcome.PASSED, files=(FileFacts("1", "1_x.sql", "passed", 1.0, "ab", (*dull, telling)),))
    (file,) = bounded(whole).files
    last = file.statements[-1]
    assert (last.index, len(last.drops), len(last.rewrites), last.more) == (300, 50, 50, 252 + 251)
    assert last.drops[-2:] == tables
    assert last.rewrites[-1] == rewritten


def test_a_report_is_judged_whole():
    drops = tuple(Dropped("table", f"public.t{number}", cascaded=False) for number in range(60))
    statements = tuple(StatementFacts(index, 1, 0.1, drops=drops) for index in range(300))
    whole = Rehearsal(
        Outcome.PASSED,
        files=(FileFacts("1", "1_x.sql", "passed", 1.0, "ab", statements),),
        changes=tuple(ChangedObject("dropped", "table", "public", f"t{number}", "") for number in range(18_000)),
        diff_text="- line\n" * 400_000,
    )
    assert without_excess(whole) == whole
    large = replace(whole, files=tuple(replace(whole.files[0], version=str(number)) for number in range(2)))
    kept = without_excess(large)
    facts = [fact for one in kept.files for each in one.statements for fact in each.drops]
    left_out = sum(one.left_out * 60 for one in kept.files)
    cut = sum(each.more for one in kept.files for each in one.statements)
    assert 19_000 < len(facts) <= 20_000
    assert len(facts) + left_out + cut == 36_000


def test_a_small_report_is_left_alone():
    small = Rehearsal(Outcome.PASSED, diff_text="+ one\n", files=(FileFacts("1", "1_x.sql", "passed", 1.0, "ab"),))
    assert bounded(small) == small
