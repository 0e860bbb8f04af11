do $$ begin execute 'drop table public.orders'; end $$;
-- caught: drop-table data_loss danger
