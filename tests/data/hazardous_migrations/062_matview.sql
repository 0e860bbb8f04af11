create materialized view public.sales as select sum(total) from public.orders;
-- caught: materialized-view-exposed access caution
