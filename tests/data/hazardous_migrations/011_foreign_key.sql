alter table public.orders add constraint buyer_fkey foreign key (buyer) references public.people (id);
-- caught: adding-foreign-key-constraint locks danger
