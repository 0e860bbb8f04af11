create type public.order_state as enum ('new', 'paid', 'shipped');
create table public.parcels (id uuid primary key default gen_random_uuid(), state public.order_state not null default 'new');
alter table public.parcels enable row level security;
