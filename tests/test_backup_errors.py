"""What pg_restore says: only what is named and explained is expected."""

from ops.backup_errors import RestoreError
from ops.backup_errors import explain
from ops.backup_errors import read_errors
from ops.standins import Extension


def test_an_unknown_error_is_never_expected() -> None:
    stderr = (
        "pg_restore: from TOC entry 7; 1259 1 TABLE t ana\n"
        'pg_restore: error: could not execute query: ERROR:  type "geometry" does not exist\n'
        "pg_restore: from TOC entry 8; 0 1 TABLE DATA t ana\n"
        'pg_restore: error: could not execute query: ERROR:  relation "t" does not exist\n'
        "pg_restore: from TOC entry 9; 0 0 ACL TABLE t ana\n"
        "pg_restore: error: could not execute query: ERROR:  permission denied to set session authorization\n"
        "pg_restore: warning: errors ignored on restore: 3\n"
    )
    errors, complete = read_errors(stderr)
    assert complete
    _, unexpected = explain(errors, ())
    assert [error.kind for error in unexpected] == ["TABLE", "TABLE DATA"]
    postgis = Extension(1, "postgis", "public", frozenset({"geometry"}), frozenset({"gist"}))
    sentences, unexpected = explain(errors, (postgis,))
    assert [error.kind for error in unexpected] == ["TABLE DATA"], "rows are never excused"
    assert sentences[0] == 'Table t: it needs "geometry" of postgis, only stood in for.'


def test_output_that_does_not_add_up_is_not_complete() -> None:
    """The text of a function could imitate lines of pg_restore; then the numbers differ."""
    forged = (
        "pg_restore: from TOC entry 7; 1255 1 FUNCTION f() ana\n"
        "pg_restore: error: could not execute query: ERROR:  boom\n"
        "Command was: CREATE FUNCTION f() AS '\n"
        "pg_restore: from TOC entry 8; 0 0 EVENT TRIGGER x ana\n"
        "pg_restore: error: could not execute query: ERROR:  permission denied to create event trigger\n"
        "';\n"
        "pg_restore: warning: errors ignored on restore: 1\n"
    )
    errors, complete = read_errors(forged)
    assert not complete
    assert errors[0] == RestoreError("FUNCTION", "f() ana", "boom")
    assert read_errors("pg_restore: error: connection to server was lost\n")[1] is False
