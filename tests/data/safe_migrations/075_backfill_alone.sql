update public.orders set source = 'web' where source is null and id between 1 and 10000;
