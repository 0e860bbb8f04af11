alter role authenticator set pgrst.db_schemas = 'public, private';
-- caught: exposes-schema access danger
