vacuum full public.orders;
-- caught: vacuum-full rewrite danger
