create policy everybody on public.orders using (true);
-- caught: policy-always-true access danger
