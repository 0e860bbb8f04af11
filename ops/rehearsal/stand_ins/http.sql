-- Stand-in: requests go nowhere and answer with status 0.
CREATE DOMAIN http_method AS pg_catalog.text;
CREATE TYPE http_header AS (field pg_catalog.varchar, value pg_catalog.varchar);
CREATE TYPE http_request AS (
  method http_method, uri pg_catalog.varchar, headers http_header[], content_type pg_catalog.varchar,
  content pg_catalog.varchar
);
CREATE TYPE http_response AS (
  status pg_catalog.int4, content_type pg_catalog.varchar, headers http_header[], content pg_catalog.varchar
);
CREATE FUNCTION http_header(field pg_catalog.varchar, value pg_catalog.varchar) RETURNS http_header
  LANGUAGE sql IMMUTABLE AS $$ SELECT $1, $2 $$;
CREATE FUNCTION http(request http_request) RETURNS http_response LANGUAGE sql VOLATILE AS $$
  SELECT 0, NULL::pg_catalog.varchar, NULL::@extschema@.http_header[], ''::pg_catalog.varchar
$$;
CREATE FUNCTION http_get(uri pg_catalog.varchar) RETURNS http_response LANGUAGE sql VOLATILE AS $$
  SELECT 0, NULL::pg_catalog.varchar, NULL::@extschema@.http_header[], ''::pg_catalog.varchar
$$;
CREATE FUNCTION http_post(uri pg_catalog.varchar, content pg_catalog.varchar, content_type pg_catalog.varchar)
  RETURNS http_response LANGUAGE sql VOLATILE AS $$
  SELECT 0, NULL::pg_catalog.varchar, NULL::@extschema@.http_header[], ''::pg_catalog.varchar
$$;
CREATE FUNCTION http_set_curlopt(curlopt pg_catalog.varchar, value pg_catalog.varchar) RETURNS pg_catalog.bool
  LANGUAGE sql VOLATILE AS $$ SELECT true $$;
CREATE FUNCTION urlencode(string pg_catalog.varchar) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE AS $$
  SELECT $1::pg_catalog.text
$$;
