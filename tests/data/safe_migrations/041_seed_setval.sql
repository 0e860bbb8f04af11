insert into public.countries (id, code) values (1, 'de'), (2, 'fr');
select setval('public.countries_id_seq', (select max(id) from public.countries));
