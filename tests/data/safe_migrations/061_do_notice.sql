do $$
declare
  found int;
begin
  select count(*) into found from public.orders where state is null;
  raise notice 'commit message: % orders without a state', found;
  perform pg_notify('drop table', 'orders');
end $$;
