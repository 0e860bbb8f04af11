alter table public.orders add column number bigserial;
-- caught: adding-computed-column rewrite danger
