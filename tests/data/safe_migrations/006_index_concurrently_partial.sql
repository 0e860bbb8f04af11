-- Only the open ones are ever looked for.
CREATE INDEX CONCURRENTLY orders_open_idx ON public.orders USING btree (created_at DESC) WHERE (state = 'open'::text);
