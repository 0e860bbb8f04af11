create type public.product_status as enum ('draft', 'listed', 'withdrawn');

create table public.products (
  id bigint generated always as identity primary key,
  sku text not null unique check (sku ~ '^[A-Z]{2}-[0-9]{4}$'),
  name text not null,
  price_cents integer not null check (price_cents >= 0),
  status public.product_status not null default 'draft',
  created_at timestamptz not null default now()
);

alter table public.products enable row level security;

create policy "everybody reads what is listed" on public.products
  for select to anon, authenticated
  using (status = 'listed');

create policy "staff change products" on public.products
  for all to authenticated
  using ((select private.is_staff()))
  with check ((select private.is_staff()));
