alter table public.orders add column a int;
-- caught: odd-space encoding danger
