alter index public.orders_idx rename to orders_customer_id_idx;
alter table public.orders rename constraint orders_check to orders_total_positive;
alter policy "old name" on public.orders rename to "owners read";
