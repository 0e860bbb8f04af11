alter table public.orders rename to purchases;
-- caught: renaming-table compatibility danger
