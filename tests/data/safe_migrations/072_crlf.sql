-- Saved on Windows.
alter table public.orders add column source text;
comment on column public.orders.source is 'web, phone';
