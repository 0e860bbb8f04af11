grant select on public.or​ders to authenticated;
-- caught: invisible-character encoding danger
