alter table public.orders alter column customer_id set statistics 500;
create statistics orders_stats (dependencies) on customer_id, state from public.orders;
analyze public.orders;
