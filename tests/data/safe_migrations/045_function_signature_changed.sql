drop function if exists public.search_orders(text);
create function public.search_orders(words text, most int) returns setof public.orders
language plpgsql stable set search_path = '' as $$
begin
  return query select * from public.orders where note ilike '%' || words || '%' limit most;
end;
$$;
