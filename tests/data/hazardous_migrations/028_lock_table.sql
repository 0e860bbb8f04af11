lock table public.orders in access exclusive mode;
-- caught: lock-table locks danger
