create table public.events (id bigint generated always as identity, at timestamptz not null, body jsonb, primary key (id, at))
  partition by range (at);
create table public.events_2026 partition of public.events for values from ('2026-01-01') to ('2027-01-01');
alter table public.events enable row level security;
alter table public.events_2026 enable row level security;
create index events_at on public.events (at);
