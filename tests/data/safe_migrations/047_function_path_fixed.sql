alter function public.recount() set search_path = '';
alter function public.old_total(bigint) security invoker;
