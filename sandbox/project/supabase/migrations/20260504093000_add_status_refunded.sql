-- Alone in its file: a new value cannot be used in the transaction that adds it.
alter type public.order_status add value if not exists 'refunded' after 'shipped';
