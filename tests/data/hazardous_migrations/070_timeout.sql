set statement_timeout = 0;
-- caught: overrides-timeout locks caution
