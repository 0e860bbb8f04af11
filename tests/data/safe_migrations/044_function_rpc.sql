create or replace function public.search_orders(words text, most int default 20)
returns setof public.orders language sql stable security invoker set search_path = '' as $$
  select * from public.orders where to_tsvector('simple', note) @@ plainto_tsquery('simple', words) limit most;
$$;
revoke execute on function public.search_orders(text, int) from anon;
grant execute on function public.search_orders(text, int) to authenticated;
