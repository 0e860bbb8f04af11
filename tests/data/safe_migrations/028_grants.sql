grant usage on schema public to anon, authenticated, service_role;
grant select, insert, update on public.orders to authenticated;
grant all on all tables in schema public to service_role;
revoke all on public.internal_notes from anon, authenticated;
revoke execute on function public.recount() from public, anon;
