insert into public.plans (id) values (1);
commit;
insert into public.plans (id) values (2);
-- caught: ends-transaction transaction danger
