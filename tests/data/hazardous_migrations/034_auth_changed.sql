alter table auth.users add column nickname text;
-- caught: platform-schema access danger
