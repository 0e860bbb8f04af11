insert into public.plans (id, name, cents) values
  ('free', 'Free', 0),
  ('team', 'Team', 2900),
  ('company', 'Für Firmen – 12 € je Person', 1200)
on conflict (id) do update set name = excluded.name, cents = excluded.cents;
