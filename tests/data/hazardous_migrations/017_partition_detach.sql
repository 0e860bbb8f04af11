alter table public.events detach partition public.events_2020;
-- caught: require-concurrent-partition-detach locks caution
