create policy "staff read all orders" on public.orders
  for select to authenticated
  using ((select private.is_staff()));

-- An order that is paid keeps its currency: the amount would mean something else.
create function private.keep_currency() returns trigger
language plpgsql set search_path = ''
as $$
begin
  if old.status <> 'open' and new.currency is distinct from old.currency then
    raise exception 'order % is %, its currency stays %', old.id, old.status, old.currency;
  end if;
  return new;
end;
$$;

create trigger orders_keep_currency before update on public.orders
  for each row execute function private.keep_currency();
