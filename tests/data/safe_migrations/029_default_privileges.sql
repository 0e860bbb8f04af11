alter default privileges in schema public revoke execute on functions from public, anon;
alter default privileges in schema public grant select on tables to authenticated;
