create table public.заказы (номер bigint primary key, имя text);
alter table public.заказы enable row level security;
