alter table public.orders add column source text;
update public.orders set source = 'web' where source is null;
-- caught: backfill-with-ddl size caution
