-- Stand-in: connects to nothing.
CREATE FUNCTION dblink_connect(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql VOLATILE STRICT AS $$ SELECT 'OK'::pg_catalog.text $$;
CREATE FUNCTION dblink_connect(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql VOLATILE STRICT AS $$ SELECT 'OK'::pg_catalog.text $$;
CREATE FUNCTION dblink_disconnect() RETURNS pg_catalog.text LANGUAGE sql VOLATILE AS $$ SELECT 'OK'::pg_catalog.text $$;
CREATE FUNCTION dblink_exec(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql VOLATILE STRICT AS $$ SELECT 'OK'::pg_catalog.text $$;
CREATE FUNCTION dblink(pg_catalog.text, pg_catalog.text) RETURNS SETOF pg_catalog.record LANGUAGE plpgsql VOLATILE STRICT AS $$ BEGIN RETURN; END $$;
