BEGIN;
ALTER TABLE public.customers ADD COLUMN vat_id text;
COMMENT ON COLUMN public.customers.vat_id IS 'Checked with VIES';
COMMIT;
