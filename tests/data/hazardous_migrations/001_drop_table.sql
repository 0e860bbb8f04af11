drop table public.orders;
-- caught: drop-table data_loss danger
