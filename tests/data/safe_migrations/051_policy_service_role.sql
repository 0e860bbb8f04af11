create policy "service does all" on public.jobs to service_role using (true) with check (true);
create policy "only with mfa" on public.jobs as restrictive to authenticated
  using (((select auth.jwt()) ->> 'aal') = 'aal2');
