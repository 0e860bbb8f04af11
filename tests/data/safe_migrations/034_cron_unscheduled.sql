select cron.unschedule('send-digests');
