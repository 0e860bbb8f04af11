"""Whether what a statement calls or reads may do something to rows that the statement itself does not say."""

from collections.abc import Iterator
from typing import Any

from pglast import ast
from pglast.enums import AlterTableType

from ops import bodies
from ops import grammar
from ops.undo.made import Made

_CATALOG = "pg_catalog"

_NAMES = """
abs acos age array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims
array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string array_upper
ascii asin atan atan2 avg bit_and bit_count bit_length bit_or bool_and bool_or btrim cardinality cbrt ceil ceiling
char_length character_length chr clock_timestamp col_description concat concat_ws convert_from convert_to corr cos
cot count cume_dist current_database current_schema current_schemas current_setting currval date_bin date_part
date_trunc decode degrees dense_rank div encode enum_first enum_last enum_range every exp extract factorial
first_value floor format format_type gcd gen_random_uuid generate_series generate_subscripts get_byte greatest
has_any_column_privilege has_column_privilege has_database_privilege has_function_privilege has_schema_privilege
has_sequence_privilege has_table_privilege hashtext hashtextextended host initcap isempty isfinite json_agg
json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each
json_each_text json_extract_path json_extract_path_text json_object json_object_agg json_object_keys
json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_agg jsonb_array_elements
jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
jsonb_exists jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys
jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_pretty
jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours
justify_interval lag last_value lcm lead least left length like_escape ln log log10 lower lower_inc lower_inf lpad
ltrim make_date make_interval make_time make_timestamp make_timestamptz masklen max md5 min mod mode network
normalize now nth_value ntile nullif num_nonnulls num_nulls numnode obj_description octet_length overlay parse_ident
percent_rank percentile_cont percentile_disc pg_backend_pid pg_column_size pg_get_constraintdef pg_get_expr
pg_get_functiondef pg_get_indexdef pg_get_serial_sequence pg_get_viewdef pg_notify pg_relation_size pg_size_pretty
pg_sleep pg_table_is_visible pg_table_size pg_total_relation_size pg_type_is_visible pg_typeof phraseto_tsquery pi
plainto_tsquery position power pow quote_ident quote_literal quote_nullable radians random range_agg range_merge
rank regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
regexp_split_to_table regexp_substr repeat replace reverse right round row_number row_to_json rpad rtrim scale
set_config setweight sha224 sha256 sha384 sha512 shobj_description sign similar_to_escape sin split_part sqrt
starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip
strpos substr substring sum tan timeofday timezone to_ascii to_char to_date to_hex to_json to_jsonb to_number
to_regclass to_regnamespace to_regproc to_regprocedure to_regrole to_regtype to_timestamp to_tsquery to_tsvector
transaction_timestamp translate trim_array trim_scale trunc ts_headline ts_rank ts_rank_cd tsvector_to_array
txid_current unistr unnest upper upper_inc upper_inf var_pop var_samp variance version websearch_to_tsquery
width_bucket xmlexists xpath xpath_exists
"""

HARMLESS = frozenset(_NAMES.split())
"""Functions of the server that read at most. Those that run a query out of a text (query_to_xml, ts_stat…) are not here,
nor those that move sequences or touch large objects."""

_PLATFORM = frozenset(
    (
        *(("auth", "uid"), ("auth", "role"), ("auth", "jwt"), ("auth", "email")),
        *(("extensions", "uuid_generate_v4"), ("extensions", "gen_random_uuid")),
    )
)
"""The platform's own, which no project can replace."""

_OF_EXTENSIONS = frozenset(("uuid_generate_v4",))
_MOVES_SEQUENCES = frozenset(("nextval", "setval"))
_BEFORE_BRACKETS = frozenset(("if", "elsif", "elseif", "while", "return", "over", "filter"))
"""Words of PL/pgSQL and SQL behind which a bracket stands that calls nothing."""
_DEFINES = (
    *(ast.ViewStmt, ast.RuleStmt, ast.CreateFunctionStmt, ast.PrepareStmt, ast.CreateStmt),
    *(ast.CreatePolicyStmt, ast.AlterPolicyStmt, ast.CreateTrigStmt, ast.CreateStatsStmt),
)


def executed(node: Any) -> Iterator[Any]:
    """The statement and all inside it that is carried out: what only defines something is not looked into."""
    if isinstance(node, _DEFINES):
        return
    if isinstance(node, ast.AlterTableStmt):
        yield node
        for one in node.cmds or ():
            if one.subtype != AlterTableType.AT_ColumnDefault:
                yield from grammar.walk(one)
        return
    yield from grammar.walk(node)


def runs_something(node: Any, made: Made) -> bool:
    """Whether anything in it, carried out now or later, calls what is not known to be harmless."""
    return any(isinstance(one, ast.FuncCall) and not _is_harmless(one, made) for one in grammar.walk(node))


def unseen(node: Any, made: Made) -> Iterator[str]:
    """What carrying out a statement may have done to rows beside what it says, in sentences."""
    if isinstance(node, ast.RefreshMatViewStmt) and made.table(node.relation) is not None:
        yield "what it computed anew may have changed rows."
    for one in executed(node):
        if isinstance(one, ast.CallStmt | ast.ExecuteStmt):
            yield "what it called may have changed rows."
        elif isinstance(one, ast.FuncCall) and not _is_harmless(one, made):
            yield "the function that it called may have changed rows."
    named = {one.ctename for one in executed(node) if isinstance(one, ast.CommonTableExpr)}
    for relation in _read_by(node):
        if (relation.schemaname or relation.relname not in named) and not made.is_table(relation):
            yield "it read what may be a view, and that may have changed rows."


def calls_in_body(body: bodies.Body, made: Made) -> bool:
    """Whether a DO block may call or read something that does more, beside the statements that `bodies.said` tells."""
    for kind, schema, name in bodies.named_beside(body):
        if kind == "reads":
            if not made.is_table(ast.RangeVar(schemaname=schema or None, relname=name)):
                return True
        elif (schema or name not in _BEFORE_BRACKETS) and not _is_known([schema, name] if schema else [name], made):
            return True
    return False


def _read_by(node: Any) -> Iterator[Any]:
    for one in executed(node):
        sources: list[Any] = []
        match one:
            case ast.SelectStmt() | ast.UpdateStmt():
                sources = [*(one.fromClause or ())]
            case ast.DeleteStmt():
                sources = [*(one.usingClause or ())]
            case ast.MergeStmt():
                sources = [one.sourceRelation]
        for source in sources:
            yield from (part for part in grammar.walk(source) if isinstance(part, ast.RangeVar))


def _is_harmless(call: Any, made: Made) -> bool:
    parts = grammar.names(call.funcname)
    if parts[-1] in _MOVES_SEQUENCES and parts[:-1] in ([], [_CATALOG]):
        return made.is_own_sequence(_constant(call.args[0]) if call.args else "")
    return _is_known(parts, made)


def _is_known(parts: list[str], made: Made) -> bool:
    """Whether a function of this name does nothing to rows. Without a schema it must be nobody else's: which of several
    functions of one name is called depends on its arguments."""
    if len(parts) == 1:
        return parts[0] in HARMLESS | _OF_EXTENSIONS and not made.has_function(parts[0])
    return (parts[0] == _CATALOG and parts[1] in HARMLESS) or tuple(parts) in _PLATFORM


def _constant(node: Any) -> str:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    value = node.val if isinstance(node, ast.A_Const) else None
    return value.sval or "" if isinstance(value, ast.String) else ""
