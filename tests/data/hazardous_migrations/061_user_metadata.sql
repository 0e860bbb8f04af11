create policy a on public.orders using ((auth.jwt() -> 'user_metadata' ->> 'admin')::boolean);
-- caught: policy-trusts-user-metadata access danger
