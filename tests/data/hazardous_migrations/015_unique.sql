alter table public.orders add constraint one_number unique (number);
-- caught: disallowed-unique-constraint locks danger
