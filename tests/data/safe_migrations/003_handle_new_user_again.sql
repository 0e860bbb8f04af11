create or replace function public.handle_new_user() returns trigger
language plpgsql security definer set search_path to 'public'
as $function$
begin
  insert into profiles (id) values (new.id) on conflict do nothing;
  return new;
end;
$function$;

drop trigger if exists on_auth_user_created on auth.users;
create trigger on_auth_user_created
  after insert on auth.users
  for each row execute procedure public.handle_new_user();
