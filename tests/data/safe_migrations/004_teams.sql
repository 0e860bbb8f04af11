create table public.teams (id bigint generated always as identity primary key, name text not null);
create table public.team_members (
  team_id bigint not null references public.teams (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role text not null default 'member',
  primary key (team_id, user_id)
);
create index team_members_user_id on public.team_members (user_id);
alter table public.teams enable row level security;
alter table public.team_members enable row level security;

create function public.is_member(of_team bigint) returns boolean
language sql stable security definer set search_path = ''
return exists (select from public.team_members m where m.team_id = of_team and m.user_id = (select auth.uid()));

create policy "members read" on public.teams for select to authenticated using ((select public.is_member(id)));
create policy "members read each other" on public.team_members
  for select to authenticated using (public.is_member(team_id));
