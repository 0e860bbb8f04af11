alter table public.orders rename column note to remark;
-- caught: renaming-column compatibility danger
