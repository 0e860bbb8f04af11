drop policy if exists "People read their own invoices" on storage.objects;
create policy "People read their own invoices" on storage.objects for select to authenticated
  using (bucket_id = 'invoices' and owner_id = (select auth.uid())::text);
