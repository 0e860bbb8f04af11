drop trigger if exists audit_orders on public.orders;
create or replace function private.audit() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into private.audit_log (what, at) values (tg_op, now());
  return null;
end $$;
create trigger audit_orders after insert or update or delete on public.orders for each row execute function private.audit();
