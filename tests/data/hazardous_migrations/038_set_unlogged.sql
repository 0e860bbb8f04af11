alter table public.orders set unlogged;
-- caught: changing-persistence rewrite danger
