alter table public.orders add primary key (id);
-- caught: adding-serial-primary-key-field locks danger
