-- We start to sell outside the euro. Every order so far was in euros, so the default is the truth for old rows; a
-- constant default rewrites nothing.
alter table public.orders add column currency text not null default 'EUR';

-- Not valid: the check holds for new rows at once and reads no old one while the table is locked.
alter table public.orders
  add constraint orders_currency_known check (currency in ('EUR', 'GBP', 'CHF', 'SEK')) not valid;

comment on column public.orders.currency is 'ISO 4217; of total_cents and of the prices of the items.';
