-- The index was built concurrently in the migration before.
alter table public.orders add constraint orders_number_key unique using index orders_number_idx;
