alter table public.orders drop constraint if exists orders_state_check;
alter table public.orders add constraint orders_state_check check (state in ('new', 'paid', 'shipped', 'lost')) not valid;
