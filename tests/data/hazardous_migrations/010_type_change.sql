alter table public.orders alter column id type bigint;
-- caught: changing-column-type rewrite danger
