drop policy "owners read" on public.orders;
-- caught: policy-dropped access caution
