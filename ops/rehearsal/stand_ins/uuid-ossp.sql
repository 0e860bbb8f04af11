-- Stand-in: random where the real one is random, and the same for the same names where it names.
CREATE FUNCTION uuid_nil() RETURNS pg_catalog.uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT '00000000-0000-0000-0000-000000000000'::pg_catalog.uuid
$$;
CREATE FUNCTION uuid_ns_dns() RETURNS pg_catalog.uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::pg_catalog.uuid
$$;
CREATE FUNCTION uuid_ns_url() RETURNS pg_catalog.uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::pg_catalog.uuid
$$;
CREATE FUNCTION uuid_generate_v1() RETURNS pg_catalog.uuid LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.gen_random_uuid() $$;
CREATE FUNCTION uuid_generate_v1mc() RETURNS pg_catalog.uuid LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.gen_random_uuid() $$;
CREATE FUNCTION uuid_generate_v4() RETURNS pg_catalog.uuid LANGUAGE sql VOLATILE AS $$ SELECT pg_catalog.gen_random_uuid() $$;
CREATE FUNCTION uuid_generate_v3(namespace pg_catalog.uuid, name pg_catalog.text) RETURNS pg_catalog.uuid
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT pg_catalog.md5($1::pg_catalog.text || $2)::pg_catalog.uuid $$;
CREATE FUNCTION uuid_generate_v5(namespace pg_catalog.uuid, name pg_catalog.text) RETURNS pg_catalog.uuid
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT pg_catalog.md5($1::pg_catalog.text || $2)::pg_catalog.uuid $$;
