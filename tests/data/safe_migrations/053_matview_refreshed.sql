refresh materialized view concurrently private.calls_by_day;
