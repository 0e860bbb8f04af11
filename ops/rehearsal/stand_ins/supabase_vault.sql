-- Stand-in: what is put in is not encrypted, and gone with the copy.
DO $$ BEGIN IF pg_catalog.to_regnamespace('vault') IS NULL THEN CREATE SCHEMA vault; END IF; END $$;
CREATE TABLE vault.secrets (
  id pg_catalog.uuid PRIMARY KEY DEFAULT pg_catalog.gen_random_uuid(), name pg_catalog.text UNIQUE,
  description pg_catalog.text NOT NULL DEFAULT '', secret pg_catalog.text NOT NULL, key_id pg_catalog.uuid,
  nonce pg_catalog.bytea, created_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
  updated_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE VIEW vault.decrypted_secrets AS
  SELECT id, name, description, secret, secret AS decrypted_secret, key_id, nonce, created_at, updated_at FROM vault.secrets;
CREATE FUNCTION vault.create_secret(
  new_secret pg_catalog.text, new_name pg_catalog.text DEFAULT NULL, new_description pg_catalog.text DEFAULT '',
  new_key_id pg_catalog.uuid DEFAULT NULL
) RETURNS pg_catalog.uuid LANGUAGE sql VOLATILE AS $$
  INSERT INTO vault.secrets (secret, name, description) VALUES ($1, $2, $3) RETURNING id
$$;
CREATE FUNCTION vault.update_secret(
  secret_id pg_catalog.uuid, new_secret pg_catalog.text DEFAULT NULL, new_name pg_catalog.text DEFAULT NULL,
  new_description pg_catalog.text DEFAULT NULL, new_key_id pg_catalog.uuid DEFAULT NULL
) RETURNS pg_catalog.void LANGUAGE sql VOLATILE AS $$
  UPDATE vault.secrets AS s SET secret = coalesce($2, s.secret), name = coalesce($3, s.name),
    description = coalesce($4, s.description) WHERE s.id OPERATOR(pg_catalog.=) $1
$$;
