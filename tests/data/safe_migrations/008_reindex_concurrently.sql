reindex index concurrently public.orders_customer_id;
