alter table public.orders add column a int;
create index concurrently orders_a on public.orders (a);
-- caught: not-atomic transaction caution
