-- Stand-in: requests get a number and go nowhere.
DO $$ BEGIN IF pg_catalog.to_regnamespace('net') IS NULL THEN CREATE SCHEMA net; END IF; END $$;
CREATE SEQUENCE net.requests;
CREATE TABLE net.http_request_queue (
  id pg_catalog.int8, method pg_catalog.text, url pg_catalog.text, headers pg_catalog.jsonb, body pg_catalog.bytea,
  timeout_milliseconds pg_catalog.int4
);
CREATE TABLE net._http_response (
  id pg_catalog.int8, status_code pg_catalog.int4, content_type pg_catalog.text, headers pg_catalog.jsonb,
  content pg_catalog.text, timed_out pg_catalog.bool, error_msg pg_catalog.text,
  created pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE FUNCTION net.http_get(
  url pg_catalog.text, params pg_catalog.jsonb DEFAULT '{}', headers pg_catalog.jsonb DEFAULT '{}',
  timeout_milliseconds pg_catalog.int4 DEFAULT 5000
) RETURNS pg_catalog.int8 LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.nextval('net.requests') $$;
CREATE FUNCTION net.http_post(
  url pg_catalog.text, body pg_catalog.jsonb DEFAULT '{}', params pg_catalog.jsonb DEFAULT '{}',
  headers pg_catalog.jsonb DEFAULT '{}', timeout_milliseconds pg_catalog.int4 DEFAULT 5000
) RETURNS pg_catalog.int8 LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.nextval('net.requests') $$;
CREATE FUNCTION net.http_delete(
  url pg_catalog.text, params pg_catalog.jsonb DEFAULT '{}', headers pg_catalog.jsonb DEFAULT '{}',
  timeout_milliseconds pg_catalog.int4 DEFAULT 5000, body pg_catalog.jsonb DEFAULT NULL
) RETURNS pg_catalog.int8 LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.nextval('net.requests') $$;
