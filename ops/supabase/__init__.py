"""The Supabase project around the database: its Management API, functions, secrets, health, backups and advisors."""
