create type public.order_status as enum ('open', 'paid', 'shipped', 'cancelled');

create table public.orders (
  id bigint generated always as identity primary key,
  customer_id uuid not null references public.customers (id),
  status public.order_status not null default 'open',
  total_cents integer not null default 0 check (total_cents >= 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table public.order_items (
  order_id bigint not null references public.orders (id) on delete cascade,
  product_id bigint not null references public.products (id),
  quantity integer not null check (quantity between 1 and 1000),
  price_cents integer not null check (price_cents >= 0),
  primary key (order_id, product_id)
);

create index orders_customer_id_idx on public.orders (customer_id);

alter table public.orders enable row level security;
alter table public.order_items enable row level security;

create policy "customers read their orders" on public.orders
  for select to authenticated
  using (customer_id in (select id from public.customers where user_id = (select private.current_user_id())));

create policy "customers read their items" on public.order_items
  for select to authenticated
  using (order_id in (select id from public.orders));
