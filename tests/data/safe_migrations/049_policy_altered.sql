alter policy "owners read" on public.orders using (customer_id = (select auth.uid()) and deleted_at is null);
