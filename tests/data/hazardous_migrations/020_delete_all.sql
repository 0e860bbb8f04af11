delete from public.orders;
-- caught: delete-without-where data_loss danger
