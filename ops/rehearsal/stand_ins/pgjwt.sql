-- Stand-in: tokens of the right shape, signed by nobody.
CREATE FUNCTION url_encode(data pg_catalog.bytea) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE AS $$
  SELECT pg_catalog.translate(pg_catalog.encode(data, 'base64'), E'+/=\n', '-_')
$$;
CREATE FUNCTION url_decode(data pg_catalog.text) RETURNS pg_catalog.bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT pg_catalog.decode(pg_catalog.rpad(pg_catalog.translate(data, '-_', '+/'),
    ((pg_catalog.length(data) + 3) / 4) * 4, '='), 'base64')
$$;
CREATE FUNCTION sign(payload pg_catalog.json, secret pg_catalog.text, algorithm pg_catalog.text DEFAULT 'HS256')
  RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE AS $$ SELECT 'e30.e30.stand-in'::pg_catalog.text $$;
CREATE FUNCTION verify(
  token pg_catalog.text, secret pg_catalog.text, algorithm pg_catalog.text DEFAULT 'HS256',
  OUT header pg_catalog.json, OUT payload pg_catalog.json, OUT valid pg_catalog.bool
) LANGUAGE sql IMMUTABLE AS $$ SELECT '{}'::pg_catalog.json, '{}'::pg_catalog.json, false $$;
