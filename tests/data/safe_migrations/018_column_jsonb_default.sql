alter table public.orders add column if not exists extra jsonb not null default '{}'::jsonb;
