create index orders_at_only on only public.orders_by_year (at);
