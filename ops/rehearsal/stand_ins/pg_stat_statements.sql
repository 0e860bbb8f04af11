-- Stand-in: nothing is counted.
CREATE VIEW pg_stat_statements AS
  SELECT NULL::pg_catalog.oid AS userid, NULL::pg_catalog.oid AS dbid, NULL::pg_catalog.int8 AS queryid,
    NULL::pg_catalog.text AS query, NULL::pg_catalog.int8 AS calls, NULL::pg_catalog.float8 AS total_exec_time WHERE false;
CREATE FUNCTION pg_stat_statements_reset() RETURNS pg_catalog.void LANGUAGE sql VOLATILE AS $$ SELECT $$;
