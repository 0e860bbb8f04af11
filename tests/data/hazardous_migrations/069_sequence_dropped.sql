drop sequence public.orders_number;
-- caught: drop-sequence irreversible caution
