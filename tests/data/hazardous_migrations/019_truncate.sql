truncate public.orders;
-- caught: truncate data_loss danger
