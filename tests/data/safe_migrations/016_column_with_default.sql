alter table "public"."orders" add column "state" text not null default 'new'::text;
alter table "public"."orders" add column "placed_at" timestamp with time zone not null default now();
