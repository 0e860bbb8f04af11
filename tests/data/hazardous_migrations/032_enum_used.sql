alter type public.state add value 'lost';
update public.orders set state = 'lost' where shipped_at is null;
-- caught: enum-value-used transaction danger
