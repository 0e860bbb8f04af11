create table public.stock_movements (
  id bigint generated always as identity primary key,
  product_id bigint not null references public.products (id),
  change integer not null check (change <> 0),
  note text,
  created_at timestamptz not null default now()
);

create index stock_movements_product_id_idx on public.stock_movements (product_id, created_at desc);

alter table public.stock_movements enable row level security;

create policy "staff keep the stock" on public.stock_movements
  for all to authenticated
  using ((select private.is_staff()))
  with check ((select private.is_staff()));

create view public.stock with (security_invoker = true) as
  select product_id, sum(change) as available
    from public.stock_movements
   group by product_id;

-- The opening stock: a hundred of everything that is listed.
insert into public.stock_movements (product_id, change, note)
  select id, 100, 'Opening stock' from public.products where status = 'listed';
