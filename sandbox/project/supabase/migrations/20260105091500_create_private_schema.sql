-- What policies and triggers need, out of reach of the API, which serves only the schema public.
create schema private;
grant usage on schema private to anon, authenticated, service_role;

-- The caller, as the verified token says; null for a visitor.
create function private.current_user_id() returns uuid
language sql stable set search_path = ''
as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
$$;

-- app_metadata is written by the server alone; user_metadata is written by the users themselves.
create function private.is_staff() returns boolean
language sql stable set search_path = ''
as $$
  select coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'app_metadata' ->> 'role', '') = 'staff';
$$;
