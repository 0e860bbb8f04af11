set search_path = billing;
select 1;
-- caught: setting-leaks transaction caution
