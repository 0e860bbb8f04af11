create table public.customers (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null unique,
  name text not null check (length(name) between 1 and 200),
  email text not null,
  created_at timestamptz not null default now()
);

create unique index customers_email_key on public.customers (lower(email));

alter table public.customers enable row level security;

create policy "customers read themselves" on public.customers
  for select to authenticated
  using (user_id = (select private.current_user_id()));

create policy "customers change themselves" on public.customers
  for update to authenticated
  using (user_id = (select private.current_user_id()))
  with check (user_id = (select private.current_user_id()));
