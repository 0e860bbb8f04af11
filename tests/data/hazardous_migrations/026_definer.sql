create function public.total() returns int language sql security definer as 'select 1';
-- caught: definer-without-search-path access caution
