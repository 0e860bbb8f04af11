select cron.schedule('forget-old-sessions', '0 3 * * *', $$ delete from public.sessions where ended_at < now() - interval '30 days' $$);
