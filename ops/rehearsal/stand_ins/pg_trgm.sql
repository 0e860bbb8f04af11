-- Stand-in: its operator classes are missing, since no function here could serve an index.
CREATE FUNCTION similarity(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.float4 LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT CASE WHEN pg_catalog.lower($1) OPERATOR(pg_catalog.=) pg_catalog.lower($2) THEN 1 ELSE 0 END::pg_catalog.float4
$$;
CREATE FUNCTION word_similarity(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.float4
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT 0::pg_catalog.float4 $$;
CREATE FUNCTION strict_word_similarity(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.float4
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT 0::pg_catalog.float4 $$;
CREATE FUNCTION show_trgm(pg_catalog.text) RETURNS pg_catalog.text[] LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT '{}'::pg_catalog.text[]
$$;
CREATE FUNCTION similarity_op(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.bool
  LANGUAGE sql STABLE STRICT AS $$ SELECT pg_catalog.lower($1) OPERATOR(pg_catalog.=) pg_catalog.lower($2) $$;
CREATE FUNCTION similarity_dist(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.float4
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT 1::pg_catalog.float4 $$;
CREATE OPERATOR % (FUNCTION = similarity_op, LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text);
CREATE OPERATOR <-> (FUNCTION = similarity_dist, LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text);
