alter table public.products
  add column search tsvector generated always as (to_tsvector('simple', name)) stored;

create index products_search_idx on public.products using gin (search);
