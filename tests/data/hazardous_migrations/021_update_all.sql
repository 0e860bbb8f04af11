update public.orders set state = 'new';
-- caught: update-without-where data_loss danger
