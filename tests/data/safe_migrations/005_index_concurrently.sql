create index concurrently orders_customer_id on public.orders (customer_id);
