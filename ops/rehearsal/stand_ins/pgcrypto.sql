-- Stand-in: values of the right kind and length, none of them secret. Runs as the role that creates the extension.
CREATE FUNCTION digest(pg_catalog.bytea, pg_catalog.text) RETURNS pg_catalog.bytea LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT CASE pg_catalog.lower($2)
    WHEN 'md5' THEN pg_catalog.decode(pg_catalog.md5($1), 'hex') WHEN 'sha224' THEN pg_catalog.sha224($1)
    WHEN 'sha384' THEN pg_catalog.sha384($1) WHEN 'sha512' THEN pg_catalog.sha512($1) ELSE pg_catalog.sha256($1) END
$$;
CREATE FUNCTION digest(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.bytea LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT CASE pg_catalog.lower($2)
    WHEN 'md5' THEN pg_catalog.decode(pg_catalog.md5($1), 'hex')
    WHEN 'sha224' THEN pg_catalog.sha224(pg_catalog.convert_to($1, 'UTF8'))
    WHEN 'sha384' THEN pg_catalog.sha384(pg_catalog.convert_to($1, 'UTF8'))
    WHEN 'sha512' THEN pg_catalog.sha512(pg_catalog.convert_to($1, 'UTF8'))
    ELSE pg_catalog.sha256(pg_catalog.convert_to($1, 'UTF8')) END
$$;
CREATE FUNCTION hmac(pg_catalog.bytea, pg_catalog.bytea, pg_catalog.text) RETURNS pg_catalog.bytea
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT pg_catalog.sha256($1 || $2) $$;
CREATE FUNCTION hmac(pg_catalog.text, pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.bytea
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT pg_catalog.sha256(pg_catalog.convert_to($1 || $2, 'UTF8')) $$;
CREATE FUNCTION gen_random_uuid() RETURNS pg_catalog.uuid LANGUAGE sql VOLATILE AS $$
  SELECT pg_catalog.gen_random_uuid()
$$;
CREATE FUNCTION gen_random_bytes(pg_catalog.int4) RETURNS pg_catalog.bytea LANGUAGE sql VOLATILE STRICT AS $$
  SELECT pg_catalog.substring(pg_catalog.sha512(pg_catalog.uuid_send(pg_catalog.gen_random_uuid())), 1, $1)
$$;
CREATE FUNCTION gen_salt(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql VOLATILE STRICT AS $$
  SELECT 'stand-in'::pg_catalog.text
$$;
CREATE FUNCTION gen_salt(pg_catalog.text, pg_catalog.int4) RETURNS pg_catalog.text LANGUAGE sql VOLATILE STRICT AS $$
  SELECT 'stand-in'::pg_catalog.text
$$;
CREATE FUNCTION crypt(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT pg_catalog.md5($1 || $2)
$$;
CREATE FUNCTION encrypt(pg_catalog.bytea, pg_catalog.bytea, pg_catalog.text) RETURNS pg_catalog.bytea
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT $1 $$;
CREATE FUNCTION decrypt(pg_catalog.bytea, pg_catalog.bytea, pg_catalog.text) RETURNS pg_catalog.bytea
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT $1 $$;
CREATE FUNCTION pgp_sym_encrypt(pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.bytea
  LANGUAGE sql VOLATILE STRICT AS $$ SELECT pg_catalog.convert_to($1, 'UTF8') $$;
CREATE FUNCTION pgp_sym_encrypt(pg_catalog.text, pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.bytea
  LANGUAGE sql VOLATILE STRICT AS $$ SELECT pg_catalog.convert_to($1, 'UTF8') $$;
CREATE FUNCTION pgp_sym_decrypt(pg_catalog.bytea, pg_catalog.text) RETURNS pg_catalog.text
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT pg_catalog.convert_from($1, 'UTF8') $$;
CREATE FUNCTION pgp_sym_decrypt(pg_catalog.bytea, pg_catalog.text, pg_catalog.text) RETURNS pg_catalog.text
  LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT pg_catalog.convert_from($1, 'UTF8') $$;
CREATE FUNCTION armor(pg_catalog.bytea) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE STRICT AS $$
  SELECT pg_catalog.encode($1, 'base64')
$$;
