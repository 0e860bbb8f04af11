create extension if not exists moddatetime schema extensions;
create trigger handle_updated_at before update on public.customers
  for each row execute procedure extensions.moddatetime (updated_at);
