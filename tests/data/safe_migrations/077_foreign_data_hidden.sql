create schema if not exists stripe;
create foreign table stripe.customers (id text, email text) server stripe_server options (object 'customers');
