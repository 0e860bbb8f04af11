alter table public.stays add constraint no_overlap exclude using gist (during with &&);
-- caught: adding-exclusion-constraint locks danger
