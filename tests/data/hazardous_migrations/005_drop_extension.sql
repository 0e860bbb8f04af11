drop extension pg_cron;
-- caught: drop-extension irreversible caution
