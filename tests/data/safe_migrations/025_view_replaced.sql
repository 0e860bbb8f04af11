create or replace view public.open_orders with (security_invoker = on) as
  select id, customer_id, total_cents, placed_at from public.orders where state = 'open';
