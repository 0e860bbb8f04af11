select cron.schedule('x', '* * * * *', 'select net.http_get(''http://host.docker.internal:54321/x'')');
-- caught: local-address foreign_project caution
