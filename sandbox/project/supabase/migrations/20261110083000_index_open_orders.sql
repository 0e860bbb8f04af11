-- The back office asks for open orders by currency, newest first.
create index orders_open_idx on public.orders (currency, created_at desc) where status = 'open';

alter table public.orders validate constraint orders_currency_known;
