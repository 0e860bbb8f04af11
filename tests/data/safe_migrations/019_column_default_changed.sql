alter table public.orders alter column state set default 'open';
alter table public.orders alter column note drop default;
