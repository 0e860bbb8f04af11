set role reporting;
select 1;
-- caught: setting-leaks transaction caution
