drop view public.open_orders;
-- caught: ban-drop-view compatibility caution
