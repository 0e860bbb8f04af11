alter table public.orders set (autovacuum_vacuum_scale_factor = 0.02, fillfactor = 90);
