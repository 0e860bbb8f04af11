grant all on public.orders to anon;
-- caught: grant-to-everybody access danger
