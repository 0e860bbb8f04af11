alter table public.orders add column a int;
create index people_name on public.people (name);
-- caught: lock-held-over-work locks caution
