# ruff: noqa: S608 (every text here is made of constants)
"""The questions to the catalog behind the schema's hash: about all of it, and about a few relations only.

Every part gives rows (kind, name, definition); ROW(...)::text keeps parts apart, whatever is in them. Privileges that
were never touched are stored as null, which reads as what they are by default. GRANT ALL means one privilege more since
17 (MAINTAIN), which is no difference that anybody made.
"""

from typing import LiteralString

_SCHEMAS: LiteralString = r"""user_schema AS MATERIALIZED (
  SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE NOT nspname LIKE ANY (MANAGED::text[])
),
"""

_OF_EXTENSIONS: LiteralString = r"""of_extension AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
"""

_RELATIONS: LiteralString = r"""relation AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relname, c.relowner, c.relacl, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
         c.relreplident, c.reloptions, c.reloftype, c.relam, s.nspname, format('%I.%I', s.nspname, c.relname) AS name
  FROM pg_class AS c JOIN user_schema AS s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND NOT c.relispartition AND c.relpersistence <> 't'
    AND NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
),
"""

_HOOKS: LiteralString = r"""-- where a project may hang policies and triggers, though the platform owns the table
hook AS MATERIALIZED (
  SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE n.nspname IN ('auth', 'storage', 'realtime') AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
),
"""

# The whole schema's grants and those of a few relations are told in the same words, or the hashes would not agree.
_GRANTS_FROM: LiteralString = r"""grants AS MATERIALIZED (
  SELECT holder.classid, holder.oid, holder.sub, string_agg(
    CASE WHEN current_setting('server_version_num')::int >= 170000
         THEN replace(item::text, 'arwdDxtm', 'all') ELSE replace(item::text, 'arwdDxt', 'all') END,
    ',' ORDER BY item::text COLLATE "C") AS list
  FROM (
    SELECT 'pg_class'::regclass AS classid, oid, 0 AS sub,
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner)) AS acl
    FROM relation WHERE relkind <> 'c'
"""
_GRANTS_LISTED: LiteralString = """
  ) AS holder CROSS JOIN LATERAL unnest(holder.acl) AS item
  GROUP BY 1, 2, 3
),
"""

_GRANTS: LiteralString = (
    _GRANTS_FROM
    + r"""    UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, coalesce(nspacl, acldefault('n', nspowner)) FROM user_schema
    UNION ALL SELECT 'pg_attribute'::regclass, attrelid, attnum, attacl FROM pg_attribute WHERE attacl IS NOT NULL
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, 0, coalesce(proacl, acldefault('f', proowner))
              FROM pg_proc AS p JOIN user_schema AS s ON s.oid = pronamespace
    UNION ALL SELECT 'pg_type'::regclass, t.oid, 0, coalesce(typacl, acldefault('T', typowner))
              FROM pg_type AS t JOIN user_schema AS s ON s.oid = typnamespace
    UNION ALL SELECT 'pg_default_acl'::regclass, oid, 0, defaclacl FROM pg_default_acl
"""
    + _GRANTS_LISTED
)

_OF_RELATIONS: dict[str, LiteralString] = {
    "relation": r"""
  SELECT 'relation', r.name, ROW(
    r.relkind, r.relowner::regrole, r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, r.relreplident,
    r.reloptions, CASE WHEN r.reloftype <> 0 THEN r.reloftype::regtype END, g.list,
    CASE WHEN r.relkind IN ('v', 'm') THEN pg_get_viewdef(r.oid) END,
    CASE WHEN r.relkind = 'p' THEN pg_get_partkeydef(r.oid) END,
    (SELECT array_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits AS i WHERE i.inhrelid = r.oid),
    (SELECT ROW(f.srvname, t.ftoptions) FROM pg_foreign_table AS t JOIN pg_foreign_server AS f ON f.oid = t.ftserver
     WHERE t.ftrelid = r.oid)
  )::text
  FROM relation AS r LEFT JOIN grants AS g ON g.classid = 'pg_class'::regclass AND g.oid = r.oid
""",
    "column": r"""
  SELECT 'column', r.name, ROW(
    row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum), a.attname, format_type(a.atttypid, a.atttypmod),
    a.attnotnull, a.attidentity, a.attgenerated, a.attislocal, a.attinhcount, a.attstorage, a.attcompression,
    nullif(a.attstattarget, -1), a.attoptions, pg_get_expr(d.adbin, d.adrelid),
    CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation END, g.list
  )::text
  FROM relation AS r
  JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN grants AS g ON g.classid = 'pg_attribute'::regclass AND g.oid = a.attrelid AND g.sub = a.attnum
  WHERE r.relkind <> 'S'
""",
    "constraint": r"""
  -- since 18 NOT NULL has rows of its own here; only what the column's flag does not say is a difference
  SELECT 'constraint', coalesce(r.name, c.contypid::regtype::text), ROW(
    c.conname, pg_get_constraintdef(c.oid), c.convalidated, c.condeferrable, c.condeferred)::text
  FROM pg_constraint AS c
  JOIN user_schema AS s ON s.oid = c.connamespace
  LEFT JOIN relation AS r ON r.oid = c.conrelid
  WHERE c.conparentid = 0 AND (c.contype <> 'n' OR NOT c.convalidated)
    AND (r.oid IS NOT NULL OR c.contypid <> 0)
    AND NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = c.contypid)
""",
    "index": r"""
  SELECT 'index', r.name, ROW(
    i.indexrelid::regclass, pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready, i.indisprimary, i.indisclustered,
    i.indisreplident)::text
  FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
""",
    "sequence": r"""
  SELECT 'sequence', r.name, ROW(
    q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmax, q.seqmin, q.seqcache, q.seqcycle,
    (SELECT format('%s.%s', d.refobjid::regclass, d.refobjsubid) FROM pg_depend AS d
     WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.objsubid = 0
       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))::text
  FROM relation AS r JOIN pg_sequence AS q ON q.seqrelid = r.oid
""",
}
"""What tables and sequences are made of, apart from triggers, policies and rules."""

_OTHERS: tuple[LiteralString, ...] = (
    r"""
  SELECT 'schema', s.nspname::text, ROW(nspowner::regrole, g.list)::text
  FROM user_schema AS s LEFT JOIN grants AS g ON g.classid = 'pg_namespace'::regclass AND g.oid = s.oid
  WHERE NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = s.oid)
""",
    r"""
  SELECT 'extension', e.extname::text, ROW(n.nspname)::text
  FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
""",
    r"""
  SELECT 'trigger', coalesce(r.name, h.name), ROW(pg_get_triggerdef(t.oid), t.tgenabled)::text
  FROM pg_trigger AS t
  JOIN pg_proc AS p ON p.oid = t.tgfoid
  LEFT JOIN relation AS r ON r.oid = t.tgrelid
  LEFT JOIN hook AS h ON h.oid = t.tgrelid AND p.pronamespace IN (SELECT oid FROM user_schema)
  WHERE NOT t.tgisinternal AND (r.oid IS NOT NULL OR h.oid IS NOT NULL)
""",
    r"""
  SELECT 'policy', coalesce(r.name, h.name), ROW(
    p.polname, p.polcmd, p.polpermissive,
    (SELECT array_agg(CASE role WHEN 0 THEN 'public' ELSE role::regrole::text END
                      ORDER BY CASE role WHEN 0 THEN 'public' ELSE role::regrole::text END COLLATE "C")
     FROM unnest(p.polroles) AS role),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))::text
  FROM pg_policy AS p LEFT JOIN relation AS r ON r.oid = p.polrelid LEFT JOIN hook AS h ON h.oid = p.polrelid
  WHERE r.oid IS NOT NULL OR h.oid IS NOT NULL
""",
    r"""
  SELECT 'rule', r.name, ROW(pg_get_ruledef(w.oid), w.ev_enabled)::text
  FROM relation AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'
""",
    r"""
  SELECT 'function', format('%I.%I(%s)', s.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), ROW(
    p.prokind, p.proowner::regrole, l.lanname, p.prosecdef, p.proleakproof, p.proisstrict, p.proretset, p.provolatile,
    p.proparallel, p.procost, p.prorows, p.proconfig, pg_get_function_arguments(p.oid),
    pg_get_function_result(p.oid), p.prosrc, p.probin, pg_get_function_sqlbody(p.oid), g.list,
    (SELECT ROW(a.aggtransfn, a.aggfinalfn, a.agginitval, a.aggtranstype::regtype, a.aggkind)
     FROM pg_aggregate AS a WHERE a.aggfnoid = p.oid))::text
  FROM pg_proc AS p
  JOIN user_schema AS s ON s.oid = p.pronamespace
  JOIN pg_language AS l ON l.oid = p.prolang
  LEFT JOIN grants AS g ON g.classid = 'pg_proc'::regclass AND g.oid = p.oid
  WHERE NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
""",
    r"""
  SELECT 'type', format('%I.%I', s.nspname, t.typname), ROW(
    t.typtype, t.typowner::regrole, t.typnotnull,
    CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END, t.typdefault,
    CASE WHEN t.typtype = 'd' THEN t.typcollation::regcollation END, g.list,
    (SELECT array_agg(v.enumlabel ORDER BY v.enumsortorder) FROM pg_enum AS v WHERE v.enumtypid = t.oid),
    (SELECT ROW(m.rngsubtype::regtype, m.rngcollation::regcollation, m.rngcanonical, m.rngsubdiff)
     FROM pg_range AS m WHERE m.rngtypid = t.oid))::text
  FROM pg_type AS t
  JOIN user_schema AS s ON s.oid = t.typnamespace
  LEFT JOIN grants AS g ON g.classid = 'pg_type'::regclass AND g.oid = t.oid
  WHERE (t.typtype IN ('e', 'd', 'r')
         OR t.typtype = 'c' AND t.typrelid IN (SELECT oid FROM relation WHERE relkind = 'c'))
    AND NOT EXISTS (SELECT FROM of_extension AS e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
""",
    r"""
  SELECT 'statistics', s.nspname::text, ROW(pg_get_statisticsobjdef(x.oid))::text
  FROM pg_statistic_ext AS x JOIN user_schema AS s ON s.oid = x.stxnamespace
""",
    r"""
  SELECT 'publication', p.pubname::text, ROW(
    p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot,
    (SELECT array_agg(r.name ORDER BY r.name COLLATE "C") FROM pg_publication_rel AS m
     JOIN relation AS r ON r.oid = m.prrelid WHERE m.prpubid = p.oid))::text
  FROM pg_publication AS p
""",
    r"""
  SELECT 'default privileges', coalesce(s.nspname::text, ''), ROW(d.defaclrole::regrole, d.defaclobjtype, g.list)::text
  FROM pg_default_acl AS d
  LEFT JOIN user_schema AS s ON s.oid = d.defaclnamespace
  LEFT JOIN grants AS g ON g.classid = 'pg_default_acl'::regclass AND g.oid = d.oid
  WHERE d.defaclnamespace = 0 OR s.oid IS NOT NULL
""",
    r"""
  SELECT 'event trigger', t.evtname::text, ROW(t.evtevent, t.evtfoid::regprocedure, t.evtenabled, t.evttags)::text
  FROM pg_event_trigger AS t JOIN pg_proc AS p ON p.oid = t.evtfoid JOIN user_schema AS s ON s.oid = p.pronamespace
""",
)

_TOUCHED: LiteralString = """
touched AS MATERIALIZED (
  SELECT * FROM pg_class WHERE oid = ANY (ARRAY(SELECT oid FROM pg_class WHERE oid BETWEEN $2 AND $3) || $1)
),
"""
_TOUCHED_GRANTS: LiteralString = (
    _GRANTS_FROM
    + r"""
    UNION ALL SELECT 'pg_attribute'::regclass, attrelid, attnum, attacl
              FROM relation JOIN pg_attribute ON attrelid = relation.oid WHERE attacl IS NOT NULL
"""
    + _GRANTS_LISTED
)

_ALL: LiteralString = (
    "WITH "
    + (_SCHEMAS + _OF_EXTENSIONS + _RELATIONS + _HOOKS + _GRANTS).replace("%", "%%").replace("MANAGED", "%(managed)s")
    + "object(kind, name, definition) AS ("
    + " UNION ALL ".join((*_OF_RELATIONS.values(), *_OTHERS)).replace("%", "%%")
    + ")"
)

# Whoever knows the lines can tell the hash again after some of them changed: that is why it is made of 256 parts.
HASH: LiteralString = (
    _ALL
    + r"""
, line AS (
  SELECT substr(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 1, 2) AS part,
         convert_to(ROW(kind, name, definition)::text, 'UTF8') AS text
  FROM object
),
hashed AS (
  SELECT part || encode(sha256(string_agg(text, '\x0a'::bytea ORDER BY text)), 'hex') AS text FROM line GROUP BY part
)
SELECT encode(sha256(convert_to(coalesce(string_agg(text, E'\n' ORDER BY text COLLATE "C"), ''), 'UTF8')), 'hex')
FROM hashed
"""
)
"""The hash of the whole schema; `managed` are the patterns of schemas to be left out."""

LINES: LiteralString = (
    _ALL
    + """
SELECT kind, name, ROW(kind, name, definition)::text FROM object
UNION ALL SELECT 'newest', '', max(oid)::text FROM pg_class
"""
)
"""What is hashed, line by line, and the number of the newest relation."""

# All that belongs to extensions is gathered for a whole schema, and looked up for a few relations.
_LOOKED_UP: tuple[LiteralString, LiteralString] = (
    "of_extension AS e WHERE",
    "pg_depend AS e WHERE e.deptype = 'e' AND",
)

TOUCHED: LiteralString = (
    "WITH "
    + _SCHEMAS
    + _TOUCHED
    + _RELATIONS.replace("FROM pg_class AS c", "FROM touched AS c").replace(*_LOOKED_UP)
    + _TOUCHED_GRANTS
    + "object(kind, name, definition) AS ("
    + " UNION ALL ".join(_OF_RELATIONS.values()).replace("LEFT JOIN relation", "JOIN relation").replace(*_LOOKED_UP)
    + """)
SELECT kind, name, ROW(kind, name, definition)::text FROM object
UNION ALL SELECT 'newest', '', max(oid)::text FROM pg_class
UNION ALL SELECT 'xid', '', pg_current_xact_id()::text
"""
)
"""With `MANAGED` an array: the lines of the relations numbered as in $1, or from $2 to $3; and this transaction."""

TOUCHED_KINDS = tuple(_OF_RELATIONS)
