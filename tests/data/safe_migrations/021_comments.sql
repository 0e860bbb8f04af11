comment on table public.orders is 'What customers bought. Drop table jokes; truncate nothing.';
comment on column public.orders.total_cents is 'In cents, never negative';
comment on policy "owners read" on public.orders is 'using (true) would let everybody in';
