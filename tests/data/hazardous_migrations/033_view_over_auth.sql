create view public.members as select id, email from auth.users;
-- caught: view-over-auth-users access danger
