"""The questions to the catalog about who may read and change what. Every name has its schema: the search path is empty.

Parameters: `exposed`, names of the schemas that the Data API serves; `visitors`, the roles as whom it lets people in,
as far as they are there. Rows name objects as people write them: `public.orders`, `public.f(integer)`.
"""

from typing import LiteralString

SETTINGS: LiteralString = """
    SELECT pg_catalog.set_config(name, value, true)
    FROM (VALUES ('search_path', ''), ('jit', 'off'), ('quote_all_identifiers', 'off'), ('lock_timeout', '5s'))
      AS setting(name, value)
"""

EXPOSED: LiteralString = """
    SELECT coalesce(pg_catalog.current_setting('pgrst.db_schemas', true), '')
    UNION ALL
    SELECT pg_catalog.substr(item, pg_catalog.strpos(item, '=') + 1)
    FROM pg_catalog.pg_db_role_setting AS s
    JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole
    CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS item
    WHERE r.rolname = 'authenticator' AND item LIKE 'pgrst.db\\_schemas=%'
      AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
"""
"""Lists of schemas as PostgREST reads them: the session's own, and what its login role is given."""

VISITORS: LiteralString = """
    SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname IN ('anon', 'authenticated') ORDER BY 1
"""

RELATIONS: LiteralString = """
    SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname), n.nspname::text, c.relkind::text, c.relrowsecurity,
      EXISTS (SELECT FROM pg_catalog.pg_depend AS e
              WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid AND e.deptype = 'e'),
      (SELECT pg_catalog.count(*) FROM pg_catalog.pg_policy AS p WHERE p.polrelid = c.oid),
      ARRAY(
        SELECT who || ' ' || may.word
        FROM pg_catalog.unnest(%(visitors)s::text[]) AS who
        CROSS JOIN (VALUES ('read', 'SELECT'), ('insert', 'INSERT'), ('update', 'UPDATE')) AS may(word, privilege)
        WHERE pg_catalog.has_schema_privilege(who, n.oid, 'USAGE')
          AND pg_catalog.has_any_column_privilege(who, c.oid, may.privilege)
        UNION ALL
        SELECT who || ' delete' FROM pg_catalog.unnest(%(visitors)s::text[]) AS who
        WHERE pg_catalog.has_schema_privilege(who, n.oid, 'USAGE')
          AND pg_catalog.has_table_privilege(who, c.oid, 'DELETE')
      ),
      EXISTS (SELECT FROM pg_catalog.pg_publication_tables AS t
              WHERE t.pubname = 'supabase_realtime' AND t.schemaname = n.nspname AND t.tablename = c.relname)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
"""
"""Every table and view: name, schema, kind, row-level security, whether it is an extension's, number of policies, what
visitors may do (`anon read`), published to Realtime."""

POLICIES: LiteralString = """
    SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname), n.nspname::text, p.polname::text, p.polcmd::text,
      p.polpermissive,
      ARRAY(SELECT CASE role WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(role)::text END
            FROM pg_catalog.unnest(p.polroles) AS role),
      pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)
    FROM pg_catalog.pg_policy AS p
    JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
"""
"""Every policy: table, schema, name, command (*, r, a, w, d), permissive, roles, USING, WITH CHECK."""

GRANTS: LiteralString = """
    SELECT held.kind, held.name, held.schema,
      CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(item.grantee)::text END,
      item.privilege_type, held.is_protected, held.part
    FROM (
      SELECT 'relation' AS kind, pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name, n.nspname::text AS schema,
             c.relacl AS acl, c.relkind IN ('r', 'p') AND c.relrowsecurity AS is_protected, '' AS part
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%%'
      UNION ALL
      SELECT 'column', pg_catalog.format('%%I.%%I', n.nspname, c.relname), n.nspname::text,
             a.attacl, c.relrowsecurity, a.attname::text
      FROM pg_catalog.pg_attribute AS a
      JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname NOT LIKE 'pg\\_%%'
      UNION ALL
      SELECT 'schema', pg_catalog.format('schema %%I', n.nspname), n.nspname::text,
             coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)), false, ''
      FROM pg_catalog.pg_namespace AS n WHERE n.nspname NOT LIKE 'pg\\_%%'
      UNION ALL
      SELECT 'defaults',
             pg_catalog.format('default privileges of %%I for %%s%%s', pg_catalog.pg_get_userbyid(d.defaclrole),
               CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                                    WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END,
               ' in ' || pg_catalog.quote_ident(n.nspname)),
             coalesce(n.nspname::text, ''), d.defaclacl, false, d.defaclobjtype::text
      FROM pg_catalog.pg_default_acl AS d LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace
    ) AS held
    CROSS JOIN LATERAL pg_catalog.aclexplode(held.acl) AS item
    WHERE held.schema <> 'information_schema'
      AND (item.grantee = 0 OR pg_catalog.pg_get_userbyid(item.grantee) IN ('anon', 'authenticated'))
      AND item.privilege_type NOT IN ('REFERENCES', 'TRIGGER', 'MAINTAIN')
"""
"""What PUBLIC, anon and authenticated hold: kind, object, schema, who, privilege, whether row-level security decides too,
and the column or the type of object."""

FUNCTIONS: LiteralString = """
    SELECT pg_catalog.format('%%I.%%I(%%s)', n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
      n.nspname::text, p.prosecdef,
      EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS item WHERE item LIKE 'search\\_path=%%'),
      p.prorettype IN ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype),
      ARRAY(SELECT who FROM pg_catalog.unnest(%(visitors)s::text[]) AS who
            WHERE pg_catalog.has_function_privilege(who, p.oid, 'EXECUTE')
              AND pg_catalog.has_schema_privilege(who, n.oid, 'USAGE')),
      ARRAY(SELECT CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(item.grantee)::text END
            FROM pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS item
            WHERE item.grantee = 0 OR pg_catalog.pg_get_userbyid(item.grantee) IN ('anon', 'authenticated'))
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e
                      WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid
                        AND e.deptype = 'e')
"""
"""Every function that is no extension's: name, schema, SECURITY DEFINER, own search_path, trigger's, callers, grantees."""

VIEWS: LiteralString = """
    WITH RECURSIVE view AS MATERIALIZED (
      SELECT c.oid, c.relkind, pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name, n.nspname::text AS schema,
        coalesce((SELECT o.option_value::boolean FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                  WHERE o.option_name = 'security_invoker'), false) AS invoker
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY (%(exposed)s::text[])
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e
                        WHERE e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.objid = c.oid
                          AND e.deptype = 'e')
    ),
    used(view, relation) AS (
      SELECT view.oid, view.oid FROM view
      UNION
      SELECT used.view, d.refobjid
      FROM used
      JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = used.relation
      JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = w.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    )
    SELECT view.name, view.schema, view.relkind::text, view.invoker,
      pg_catalog.bool_or(c.relrowsecurity AND c.relkind IN ('r', 'p')),
      pg_catalog.bool_or(c.relname = 'users' AND n.nspname = 'auth')
    FROM view
    JOIN used ON used.view = view.oid
    JOIN pg_catalog.pg_class AS c ON c.oid = used.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    GROUP BY 1, 2, 3, 4
"""
"""Every view of an exposed schema: name, schema, kind, security_invoker, reads protected rows, reads auth.users."""

PLATFORM: LiteralString = """
    WITH held AS MATERIALIZED (
      SELECT c.oid, c.relkind, c.relrowsecurity, c.relowner, n.nspname, pg_catalog.format('%I.%I', n.nspname, c.relname)
        AS name
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname IN ('auth', 'storage', 'vault') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    )
    SELECT kind, name, whole, calls,
      pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(definition, 'UTF8')), 'hex')
    FROM (
      SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END AS kind,
        held.name, held.name AS whole, '' AS calls,
        ROW(relkind, relrowsecurity, relowner,
            CASE WHEN relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(oid) END)::text AS definition
      FROM held
      UNION ALL
      SELECT 'column', pg_catalog.format('%s.%I', held.name, a.attname), held.name, '',
        ROW(pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attidentity,
            pg_catalog.pg_get_expr(d.adbin, d.adrelid))::text
      FROM held
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = held.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE held.relkind IN ('r', 'p', 'f')
      UNION ALL
      SELECT 'constraint', pg_catalog.format('%I on %s', x.conname, held.name), held.name, '',
        ROW(pg_catalog.pg_get_constraintdef(x.oid), x.convalidated)::text
      FROM held JOIN pg_catalog.pg_constraint AS x ON x.conrelid = held.oid WHERE x.contype <> 'n'
      UNION ALL
      SELECT 'trigger', pg_catalog.format('%I on %s', t.tgname, held.name), held.name, called.nspname::text,
        ROW(pg_catalog.pg_get_triggerdef(t.oid), t.tgenabled)::text
      FROM held JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = held.oid
      JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid JOIN pg_catalog.pg_namespace AS called ON called.oid = f.pronamespace
      WHERE NOT t.tgisinternal
      UNION ALL
      SELECT 'policy', pg_catalog.format('%I on %s', p.polname, held.name), held.name, '',
        ROW(p.polcmd, p.polpermissive, p.polroles, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
            pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))::text
      FROM held JOIN pg_catalog.pg_policy AS p ON p.polrelid = held.oid
      UNION ALL
      SELECT 'function', pg_catalog.format('%I.%I(%s)', n.nspname, f.proname,
               pg_catalog.pg_get_function_identity_arguments(f.oid)), '', '',
        ROW(f.proowner, f.prolang, f.prosrc, f.prosecdef, f.proconfig, f.provolatile, f.proisstrict,
            pg_catalog.pg_get_function_sqlbody(f.oid), pg_catalog.pg_get_function_result(f.oid))::text
      FROM pg_catalog.pg_proc AS f JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
      WHERE n.nspname IN ('auth', 'storage', 'vault')
    ) AS part
"""
"""What the platform's schemas are made of: kind, name, the table that it belongs to (or empty), the
schema of the function that a trigger calls (or empty), a hash of what it is."""

ROLES: LiteralString = """
    SELECT rolname::text, rolsuper, rolbypassrls, rolcreaterole FROM pg_catalog.pg_roles WHERE rolname NOT LIKE 'pg\\_%'
"""

MEMBERSHIPS: LiteralString = """
    SELECT DISTINCT given.rolname::text, member.rolname::text, given.rolsuper OR given.rolbypassrls
    FROM pg_catalog.pg_auth_members AS m
    JOIN pg_catalog.pg_roles AS given ON given.oid = m.roleid
    JOIN pg_catalog.pg_roles AS member ON member.oid = m.member
"""
"""Which role is given to which, and whether the given one passes row-level security."""

SCHEMAS: LiteralString = """
    SELECT pg_catalog.format('schema %I', nspname) FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
"""
"""Every schema that is not the server's own, as `GRANTS` names it."""
