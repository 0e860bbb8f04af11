set search_path = private;
create table secrets_rotated (at timestamptz primary key);
reset search_path;
