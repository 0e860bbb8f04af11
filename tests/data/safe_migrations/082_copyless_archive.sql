create table private.orders_2020 (like public.orders including all);
