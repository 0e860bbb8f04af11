create schema if not exists private;
create table private.webhook_calls (id bigserial primary key, at timestamptz default now(), body jsonb);
create materialized view private.calls_by_day as select date_trunc('day', at) as day, count(*) from private.webhook_calls group by 1;
create unique index calls_by_day_day on private.calls_by_day (day);
