-- Alone in its file: it cannot run in a transaction. Orders go on while it builds.
create index concurrently if not exists order_items_product_id_idx on public.order_items (product_id);
