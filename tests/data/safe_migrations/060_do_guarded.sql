do $$
begin
  if not exists (select from pg_type where typname = 'visibility') then
    create type public.visibility as enum ('private', 'team');
  end if;
end;
$$;
