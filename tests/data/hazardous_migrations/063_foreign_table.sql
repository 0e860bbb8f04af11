create foreign table public.customers (id text) server stripe_server;
-- caught: foreign-table-exposed access danger
