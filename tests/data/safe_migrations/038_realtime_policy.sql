create policy "members listen" on realtime.messages for select to authenticated
  using (realtime.topic() in (select 'team:' || team_id from public.team_members where user_id = (select auth.uid())));
