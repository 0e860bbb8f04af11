"""What tests about access share: a table with and without protection, and findings in a few words."""

from ops.rehearsal.report import AccessChange

TABLE = "create table public.orders (id bigint primary key, owner uuid, note text);"
PROTECTED = f"{TABLE} alter table public.orders enable row level security;"
OWN = "create policy own on public.orders using (owner = (select auth.uid()));"

NO_RLS = ("table-without-rls", "danger", "public.orders")


def said(found: list[AccessChange]) -> list[tuple[str, str, str]]:
    return [(one.rule, one.level, one.object) for one in found]
