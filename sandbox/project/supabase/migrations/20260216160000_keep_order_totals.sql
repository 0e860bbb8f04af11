-- The total follows the items, whoever writes them.
create function private.keep_order_total() returns trigger
language plpgsql security definer set search_path = ''
as $body$
declare
  changed bigint := coalesce(new.order_id, old.order_id);
begin
  update public.orders
     set total_cents = (
       select coalesce(sum(quantity * price_cents), 0) from public.order_items where order_id = changed
     )
   where id = changed;
  return null;
end;
$body$;

revoke execute on function private.keep_order_total() from public;

create trigger order_items_total after insert or update or delete on public.order_items
  for each row execute function private.keep_order_total();
