alter table public.old_things enable row level security;
alter table public.old_things force row level security;
