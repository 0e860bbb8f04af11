drop view if exists public.open_orders;
create view public.open_orders with (security_invoker) as select id from public.orders;
