alter table public.orders add column token uuid not null default gen_random_uuid();
-- caught: adding-field-with-default rewrite danger
