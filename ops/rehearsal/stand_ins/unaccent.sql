-- Stand-in: accents stay.
CREATE FUNCTION unaccent(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql STABLE STRICT AS $$ SELECT $1 $$;
CREATE FUNCTION unaccent(pg_catalog.regdictionary, pg_catalog.text) RETURNS pg_catalog.text
  LANGUAGE sql STABLE STRICT AS $$ SELECT $2 $$;
