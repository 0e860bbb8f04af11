select 'https://abcdefghijklmnopqrst.supabase.co/functions/v1/x';
-- caught: project-url foreign_project caution
