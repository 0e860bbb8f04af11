alter table public.orders add constraint positive check (amount > 0);
-- caught: constraint-missing-not-valid locks danger
