drop index concurrently if exists public.orders_old_idx;
