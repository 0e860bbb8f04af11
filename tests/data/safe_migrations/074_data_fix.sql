-- A row that support found broken; no other is touched.
update public.orders set state = 'paid' where id = 4711 and state is null;
