cluster public.orders using orders_pkey;
-- caught: cluster rewrite danger
