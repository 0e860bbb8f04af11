alter table public.orders drop column note;
-- caught: drop-column data_loss danger
