-- listed: enum-value-added
alter type public.order_state add value if not exists 'refunded' after 'shipped';
