alter table public.orders add constraint orders_state_set check (state is not null) not valid;
