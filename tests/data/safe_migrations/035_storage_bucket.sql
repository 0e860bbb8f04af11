insert into storage.buckets (id, name, public, file_size_limit) values ('invoices', 'invoices', false, 5242880)
on conflict (id) do nothing;

create policy "People read their own invoices" on storage.objects for select to authenticated
  using (bucket_id = 'invoices' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "People put their own invoices" on storage.objects for insert to authenticated
  with check (bucket_id = 'invoices' and (storage.foldername(name))[1] = (select auth.uid())::text);
