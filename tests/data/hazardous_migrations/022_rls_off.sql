alter table public.orders disable row level security;
-- caught: rls-disabled access danger
