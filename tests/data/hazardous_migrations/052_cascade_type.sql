drop type public.mood cascade;
-- caught: drop-type-cascade data_loss danger
