alter table public.orders add column total int generated always as (a * b) stored;
-- caught: adding-computed-column rewrite danger
