set local search_path = private, public;
create table audit_entries (id bigint primary key, what text);
