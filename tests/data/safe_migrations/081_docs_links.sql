-- See https://supabase.com/docs/guides/auth and http://localhost:54323 for the studio.
-- The pooler: postgres://postgres:[YOUR-PASSWORD]@db.example.com:5432/postgres
select 1;
