alter table public.orders validate constraint orders_customer_id_fkey;
