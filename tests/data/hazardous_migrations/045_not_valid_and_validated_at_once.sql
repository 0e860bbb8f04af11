alter table public.orders add constraint c check (a > 0) not valid;
alter table public.orders validate constraint c;
-- caught: lock-held-over-work locks caution
