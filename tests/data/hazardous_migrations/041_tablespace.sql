alter table public.orders set tablespace cold;
-- caught: moving-a-table rewrite danger
