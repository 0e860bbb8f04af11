-- Profiles of the people who sign up.
create table public.profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  handle text unique check (char_length(handle) >= 3),
  full_name text,
  avatar_path text,
  created_at timestamptz not null default now()
);

alter table public.profiles enable row level security;

create policy "People see their own profile" on public.profiles
  for select to authenticated using ((select auth.uid()) = id);
create policy "People change their own profile" on public.profiles
  for update to authenticated using ((select auth.uid()) = id) with check ((select auth.uid()) = id);
