-- Stand-in: queues are tables, and messages can be sent and read.
DO $$ BEGIN IF pg_catalog.to_regnamespace('pgmq') IS NULL THEN CREATE SCHEMA pgmq; END IF; END $$;
CREATE TABLE pgmq.meta (
  queue_name pg_catalog.varchar UNIQUE NOT NULL, is_partitioned pg_catalog.bool NOT NULL DEFAULT false,
  is_unlogged pg_catalog.bool NOT NULL DEFAULT false, created_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE TYPE pgmq.message_record AS (
  msg_id pg_catalog.int8, read_ct pg_catalog.int4, enqueued_at pg_catalog.timestamptz, vt pg_catalog.timestamptz,
  message pg_catalog.jsonb
);
CREATE FUNCTION pgmq."create"(queue_name pg_catalog.text) RETURNS pg_catalog.void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  EXECUTE pg_catalog.format('CREATE TABLE IF NOT EXISTS pgmq.%I (msg_id pg_catalog.int8 GENERATED ALWAYS AS IDENTITY
    PRIMARY KEY, read_ct pg_catalog.int4 NOT NULL DEFAULT 0, enqueued_at pg_catalog.timestamptz NOT NULL
    DEFAULT pg_catalog.now(), vt pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(), message pg_catalog.jsonb)',
    'q_' || queue_name);
  EXECUTE pg_catalog.format('CREATE TABLE IF NOT EXISTS pgmq.%I (LIKE pgmq.%I, archived_at pg_catalog.timestamptz
    NOT NULL DEFAULT pg_catalog.now())', 'a_' || queue_name, 'q_' || queue_name);
  INSERT INTO pgmq.meta (queue_name) VALUES ($1) ON CONFLICT DO NOTHING;
END $$;
CREATE FUNCTION pgmq.drop_queue(queue_name pg_catalog.text) RETURNS pg_catalog.bool LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  EXECUTE pg_catalog.format('DROP TABLE IF EXISTS pgmq.%I, pgmq.%I', 'q_' || queue_name, 'a_' || queue_name);
  DELETE FROM pgmq.meta AS m WHERE m.queue_name OPERATOR(pg_catalog.=) $1::pg_catalog.text;
  RETURN true;
END $$;
CREATE FUNCTION pgmq.send(queue_name pg_catalog.text, msg pg_catalog.jsonb, delay pg_catalog.int4 DEFAULT 0)
  RETURNS SETOF pg_catalog.int8 LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN QUERY EXECUTE pg_catalog.format('INSERT INTO pgmq.%I (message) VALUES ($1) RETURNING msg_id', 'q_' || queue_name)
    USING msg;
END $$;
CREATE FUNCTION pgmq.read(queue_name pg_catalog.text, vt pg_catalog.int4, qty pg_catalog.int4)
  RETURNS SETOF pgmq.message_record LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN QUERY EXECUTE pg_catalog.format('SELECT msg_id, read_ct, enqueued_at, vt, message FROM pgmq.%I ORDER BY msg_id LIMIT $1',
    'q_' || queue_name) USING qty;
END $$;
CREATE FUNCTION pgmq.pop(queue_name pg_catalog.text) RETURNS SETOF pgmq.message_record LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN QUERY EXECUTE pg_catalog.format('DELETE FROM pgmq.%1$I WHERE msg_id = (SELECT pg_catalog.min(msg_id)
    FROM pgmq.%1$I) RETURNING msg_id, read_ct, enqueued_at, vt, message', 'q_' || queue_name);
END $$;
CREATE FUNCTION pgmq.archive(queue_name pg_catalog.text, msg_id pg_catalog.int8) RETURNS pg_catalog.bool
  LANGUAGE sql VOLATILE AS $$ SELECT true $$;
CREATE FUNCTION pgmq.delete(queue_name pg_catalog.text, msg_id pg_catalog.int8) RETURNS pg_catalog.bool
  LANGUAGE sql VOLATILE AS $$ SELECT true $$;
