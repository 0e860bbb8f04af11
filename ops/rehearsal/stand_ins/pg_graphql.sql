-- Stand-in: every question has no answer.
DO $$ BEGIN IF pg_catalog.to_regnamespace('graphql') IS NULL THEN CREATE SCHEMA graphql; END IF; END $$;
CREATE FUNCTION graphql.resolve(
  query pg_catalog.text, variables pg_catalog.jsonb DEFAULT '{}', "operationName" pg_catalog.text DEFAULT NULL,
  extensions pg_catalog.jsonb DEFAULT NULL
) RETURNS pg_catalog.jsonb LANGUAGE sql VOLATILE AS $$ SELECT '{"data": null}'::pg_catalog.jsonb $$;
