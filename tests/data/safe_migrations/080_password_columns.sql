alter table public.accounts add column password_reset_token_hash bytea, add column api_key_prefix text;
comment on column public.accounts.api_key_prefix is 'password: see the vault; secret = never here';
insert into public.settings (name, value) values ('password_min_length', '12'), ('secret_rotation', 'every-ninety-days');
