create table public.refunds (
  id bigint generated always as identity primary key,
  order_id bigint not null references public.orders (id),
  amount_cents integer not null check (amount_cents > 0),
  reason text not null,
  created_at timestamptz not null default now()
);

create index refunds_order_id_idx on public.refunds (order_id);

alter table public.refunds enable row level security;

create policy "customers read their refunds" on public.refunds
  for select to authenticated
  using (order_id in (select id from public.orders));

create function private.mark_order_refunded() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  update public.orders set status = 'refunded' where id = new.order_id;
  return new;
end;
$$;

revoke execute on function private.mark_order_refunded() from public;

create trigger refunds_mark_order after insert on public.refunds
  for each row execute function private.mark_order_refunded();
