create view public.open_orders with (security_invoker = true) as
  select id, customer_id, total_cents from public.orders where state = 'open';
grant select on public.open_orders to authenticated;
