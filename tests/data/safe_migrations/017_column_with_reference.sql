alter table public.orders add column courier_id bigint references public.couriers (id);
