-- security_invoker: the reader's policies count, not those of the view's owner.
create view public.order_summaries with (security_invoker = true) as
  select orders.id,
         orders.customer_id,
         orders.status,
         orders.total_cents,
         count(items.product_id) as items,
         orders.created_at
    from public.orders
    left join public.order_items as items on items.order_id = orders.id
   group by orders.id;

grant select on public.order_summaries to authenticated;
