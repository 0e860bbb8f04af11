alter table public.orders
  add column shipped_at timestamptz,
  add column shipped_by uuid,
  add column tracking text,
  add column carrier text;
