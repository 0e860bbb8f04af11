create table public.notes (id bigint primary key);
-- caught: table-without-rls access danger
