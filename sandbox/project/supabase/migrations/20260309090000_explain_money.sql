/*
 * Money, explained once.
 *
 * Every amount is an integer of the smallest unit: 1290 is 12.90. There are no floats; /* a float would make
 * 0.1 + 0.2 something else than 0.3 */ and the tax office notices; so do customers.
 *
 * What this file changes: comments only -- no row, no lock worth the name.
 */

-- Prices are what the customer pays; the item keeps the price of the day, so a later change of the product's
-- price does not rewrite history.
comment on column public.products.price_cents is 'What the customer pays, in cents; tax is included.';
comment on column public.order_items.price_cents is 'The product''s price on the day of the order; never updated.';

-- A semicolon in a comment; and one in a dollar quote: neither ends a statement.
comment on column public.orders.total_cents is $note$Kept by a trigger; do not write it yourself.$note$;

comment on table public.orders is 'One order; its items are in order_items.'; -- the last comment stays with nobody
