alter table public.orders add column note text not null;
-- caught: adding-required-field compatibility danger
