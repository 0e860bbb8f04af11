begin;
create index concurrently orders_note on public.orders (note);
commit;
-- caught: ends-transaction transaction danger
