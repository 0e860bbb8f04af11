do $$ begin update public.orders set a = 1 where b = 2; commit; end $$;
-- caught: ends-transaction transaction danger
