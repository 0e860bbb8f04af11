-- Stand-in: text that is stored alike, and compared with its capitals.
CREATE DOMAIN citext AS pg_catalog.text;
