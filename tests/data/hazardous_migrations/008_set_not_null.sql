alter table public.orders alter column note set not null;
-- caught: adding-not-nullable-field locks danger
