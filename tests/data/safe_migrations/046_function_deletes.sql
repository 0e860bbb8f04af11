create function public.forget_me() returns void language plpgsql security definer set search_path = '' as $$
begin
  delete from auth.users where id = (select auth.uid());
  delete from public.sessions;
  truncate public.scratch;
end;
$$;
revoke all on function public.forget_me() from public, anon;
