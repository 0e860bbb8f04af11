alter table public.orders set access method columnar;
-- caught: moving-a-table rewrite danger
