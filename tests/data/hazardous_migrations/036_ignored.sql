-- squawk-ignore-file
create index orders_note on public.orders (note);
-- caught: require-concurrent-index-creation locks danger
