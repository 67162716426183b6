//! Reads PostgreSQL's catalog: what hangs on every table, and who is who.

mod plpgsql;
mod tables;
mod triggers;

use std::{collections::HashMap, sync::Arc};

use diesel::{
    QueryResult, QueryableByName,
    sql_types::{Array, BigInt, Bool, Integer, Nullable, Oid, Text},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use turbodiesel_core::TableName;
use turbodiesel_sql::{Dialect, plan};

use crate::{
    catalog::{Catalog, Relation, RelationKind, Signature, Volatility},
    settle::Process,
};

const SYSTEM_SCHEMAS: &[&str] = &["pg_catalog", "information_schema", "pg_toast"];

/// Hashes the identity of every catalog row that `load` depends on, and its version: `xmin`, or for
/// relations, whose rows also change with `TRUNCATE`, the columns that matter. Temporary objects are
/// left out: they belong to one session, and a session that makes them is not cached. Privileges count
/// as far as they are granted on tables and columns or come by membership; what else a role may do
/// (`BYPASSRLS`, privileges on schemas) decides whether a statement runs, not what is done with it.
/// What the system made itself has a number below 16384, in whichever schema it is.
const SIGNATURE: &str = "
    WITH relation AS (
        SELECT c.oid, concat_ws(':', c.oid, c.relnamespace, c.relname, c.relkind, c.relnatts,
                                c.relrowsecurity, c.relowner, c.relacl) AS part
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    ), part AS (
        SELECT 'c' AS kind, part FROM relation
        UNION ALL
        SELECT 'a', concat_ws(':', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
                              a.attcollation, a.attgenerated, a.attacl)
        FROM pg_attribute a JOIN relation ON relation.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT 'y', concat_ws(':', i.indexrelid, i.indrelid, i.indkey, i.indnkeyatts, i.indisunique,
                              i.indisvalid, i.indimmediate, i.indpred IS NULL, i.indclass)
        FROM pg_index i JOIN relation ON relation.oid = i.indrelid
        UNION ALL
        SELECT 'b', oid::text || ':' || xmin::text FROM pg_cast WHERE oid >= 16384
        UNION ALL
        SELECT 'l', l.oid::text || ':' || l.xmin::text
        FROM pg_collation l WHERE l.oid >= 16384
        UNION ALL
        SELECT 'm', roleid::text || ':' || member::text || ':' || xmin::text FROM pg_auth_members
        UNION ALL
        SELECT 's', rolsuper::text FROM pg_roles WHERE rolname = current_user
        UNION ALL
        SELECT 'n', concat_ws(':', oid, nspname, nspowner, nspacl)
        FROM pg_namespace WHERE nspname !~ '^pg_'
        UNION ALL
        SELECT 't', t.oid::text || ':' || t.xmin::text FROM pg_trigger t WHERE NOT t.tgisinternal
        UNION ALL
        SELECT 'r', r.oid::text || ':' || r.xmin::text
        FROM pg_rewrite r JOIN relation ON relation.oid = r.ev_class
        UNION ALL
        SELECT 'k', k.oid::text || ':' || k.xmin::text FROM pg_constraint k
        WHERE k.contype IN ('f', 'c')
        UNION ALL
        SELECT 'd', d.oid::text || ':' || d.xmin::text
        FROM pg_attrdef d JOIN relation ON relation.oid = d.adrelid
        UNION ALL
        SELECT 'i', inhrelid::text || ':' || inhparent::text FROM pg_inherits
        UNION ALL
        SELECT 'p', oid::text || ':' || xmin::text FROM pg_policy
        UNION ALL
        SELECT 'x', oid::text || ':' || xmin::text FROM pg_proc WHERE oid >= 16384
        UNION ALL
        SELECT 'o', oid::text || ':' || xmin::text FROM pg_operator WHERE oid >= 16384
        UNION ALL
        SELECT 'g', oid::text || ':' || xmin::text FROM pg_amop WHERE oid >= 16384
        UNION ALL
        SELECT 'h', oid::text || ':' || xmin::text FROM pg_amproc WHERE oid >= 16384
    )
    SELECT coalesce(md5(string_agg(kind || part, ',' ORDER BY kind, part COLLATE \"C\")), '') AS objects,
           current_schemas(true)::text[] AS search_path,
           txid_current_if_assigned() IS NOT NULL AS uncommitted,
           pg_backend_pid() AS process,
           (SELECT (extract(epoch FROM backend_start) * 1000000)::bigint
            FROM pg_stat_get_activity(pg_backend_pid())) AS process_started,
           (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server_started,
           coalesce((extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::bigint,
                    0) AS statistics_since
    FROM part";

#[derive(QueryableByName)]
struct SignatureRow {
    #[diesel(sql_type = Text)]
    objects: String,
    #[diesel(sql_type = Array<Text>)]
    search_path: Vec<String>,
    #[diesel(sql_type = Bool)]
    uncommitted: bool,
    #[diesel(sql_type = Integer)]
    process: i32,
    #[diesel(sql_type = Nullable<BigInt>)]
    process_started: Option<i64>,
    #[diesel(sql_type = BigInt)]
    server_started: i64,
    #[diesel(sql_type = BigInt)]
    statistics_since: i64,
}

pub(super) async fn signature(raw: &mut AsyncPgConnection) -> QueryResult<Signature> {
    let row: SignatureRow = diesel::sql_query(SIGNATURE).get_result(raw).await?;
    let SignatureRow { objects, search_path, uncommitted, process, .. } = row;
    let process = row.process_started.map(|started| Process {
        id: process,
        started,
        server_started: row.server_started,
        statistics_since: row.statistics_since,
    });
    let search_path = search_path.into_iter().map(Into::into).collect();
    Ok(Signature { objects, search_path, uncommitted, process })
}

/// Writes are opaque where a rule stands, or where a column's default, a constraint or a policy calls a
/// function that may write. Functions in C are taken not to. Where a cast or the check of a domain
/// calls one, every write is opaque, because conversions are not seen in a statement.
const RELATIONS: &str = "
    WITH RECURSIVE related AS (
        SELECT oid, oid AS via FROM pg_operator WHERE oid >= 16384
        UNION
        SELECT r.oid, l.via
        FROM related r JOIN pg_operator o ON o.oid = r.via
        CROSS JOIN LATERAL (VALUES (o.oprnegate), (o.oprcom)) l (via)
        WHERE l.via <> 0
    ), writer AS (
        SELECT p.oid FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
        WHERE p.provolatile = 'v' AND l.lanname NOT IN ('c', 'internal')
    ), calls AS (
        SELECT d.classid, d.objid FROM pg_depend d JOIN writer ON writer.oid = d.refobjid
        WHERE d.refclassid = 'pg_proc'::regclass
        UNION ALL
        SELECT d.classid, d.objid
        FROM pg_depend d
        JOIN related ON related.oid = d.refobjid
        JOIN pg_operator o ON o.oid = related.via
        JOIN writer ON writer.oid = o.oprcode
        WHERE d.refclassid = 'pg_operator'::regclass
    )
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
           c.relrowsecurity AS row_security,
           CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS body,
           EXISTS (SELECT FROM pg_rewrite r
                   WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
           OR EXISTS (SELECT FROM pg_attrdef a JOIN calls
                        ON calls.classid = 'pg_attrdef'::regclass AND calls.objid = a.oid
                      WHERE a.adrelid = c.oid)
           OR EXISTS (SELECT FROM pg_constraint k JOIN calls
                        ON calls.classid = 'pg_constraint'::regclass AND calls.objid = k.oid
                      WHERE k.conrelid = c.oid OR k.contypid <> 0)
           OR EXISTS (SELECT FROM pg_policy p JOIN calls
                        ON calls.classid = 'pg_policy'::regclass AND calls.objid = p.oid
                      WHERE p.polrelid = c.oid)
           OR EXISTS (SELECT FROM pg_cast k JOIN writer ON writer.oid = k.castfunc)
           AS opaque_writes,
           EXISTS (SELECT FROM pg_policy p JOIN pg_depend d
                     ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
                    AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
                   WHERE p.polrelid = c.oid) AS opaque_policies,
           c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
           AND NOT EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) AS may_learn
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";

#[derive(QueryableByName)]
struct RelationRow {
    #[diesel(sql_type = Oid)]
    oid: u32,
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Bool)]
    row_security: bool,
    #[diesel(sql_type = Nullable<Text>)]
    body: Option<String>,
    #[diesel(sql_type = Bool)]
    opaque_writes: bool,
    #[diesel(sql_type = Bool)]
    opaque_policies: bool,
    #[diesel(sql_type = Bool)]
    may_learn: bool,
}

/// Pairs of relations, by what connects them.
const LINKS: &str = "
    SELECT 'relative' AS kind, inhparent AS source, inhrelid AS target FROM pg_inherits
    UNION ALL
    SELECT 'relative', inhrelid, inhparent FROM pg_inherits
    UNION ALL
    SELECT DISTINCT 'policy', p.polrelid, d.refobjid FROM pg_policy p JOIN pg_depend d
        ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
       AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid";

#[derive(QueryableByName)]
struct Link {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Oid)]
    source: u32,
    #[diesel(sql_type = Oid)]
    target: u32,
}

/// Functions and operators with their worst volatility over all overloads: `1` immutable, `2`
/// stable, `3` volatile, `4` volatile and able to write. An aggregate is what its support functions
/// are. Of the system's own functions, only those count that the planner does not know by name. Of its
/// operators the planner does not know all; one that is named with its schema it gives as it is spelt.
///
/// The planner calls the negator or the commutator of an operator where it likes, so an operator is
/// what the worst of them is. Users' operators are listed once more by their symbol alone, with whether
/// a number may be an operand; and those that syntax calls without showing it, by these names or by way
/// of a class that sorts or hashes. A user's `=` is an equality unless both sides are users' own types:
/// it may take the place of the system's in comparing keys.
const CALLABLES: &str = "
    WITH RECURSIVE function AS (
        SELECT p.oid, p.proname::text AS name, p.oid < 16384 AS system,
               CASE WHEN p.provolatile = 'v' AND l.lanname NOT IN ('c', 'internal') THEN '4'
                    WHEN p.provolatile = 'v' THEN '3'
                    WHEN p.provolatile = 's' THEN '2' ELSE '1' END AS volatility,
               p.pronargs = 1 AND t.typtype = 'c' AS of_row
        FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_language l ON l.oid = p.prolang
        LEFT JOIN pg_type t ON t.oid = p.proargtypes[0]
        WHERE n.nspname <> 'information_schema' OR p.oid >= 16384
    ), related AS (
        SELECT oid, oid AS via FROM pg_operator
        UNION
        SELECT r.oid, l.via
        FROM related r JOIN pg_operator o ON o.oid = r.via
        CROSS JOIN LATERAL (VALUES (o.oprnegate), (o.oprcom)) l (via)
        WHERE l.via <> 0 AND r.oid >= 16384
    ), operator AS (
        SELECT o.oid, o.oprname::text AS name, n.nspname, o.oid < 16384 AS system,
               o.oprleft, o.oprright, max(function.volatility) AS volatility
        FROM related
        JOIN pg_operator o ON o.oid = related.oid
        JOIN pg_operator via ON via.oid = related.via
        JOIN pg_namespace n ON n.oid = o.oprnamespace
        JOIN function ON function.oid = via.oprcode
        GROUP BY o.oid, n.nspname
    ), callable AS (
        SELECT CASE WHEN system THEN 'system' ELSE 'function' END AS kind, name, volatility
        FROM function
        UNION ALL
        SELECT 'function', aggregate.name, support.volatility
        FROM function aggregate
        JOIN pg_aggregate a ON a.aggfnoid = aggregate.oid
        JOIN function support ON support.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn)
        WHERE NOT aggregate.system
        UNION ALL
        SELECT 'row', name, volatility FROM function WHERE of_row AND NOT system
        UNION ALL
        SELECT 'operator', spelling, volatility
        FROM operator
        CROSS JOIN LATERAL (VALUES (name), (format('OPERATOR(%I.%s)', nspname, name))) s (spelling)
        UNION ALL
        SELECT CASE WHEN EXISTS (
                   SELECT FROM pg_type t WHERE t.oid IN (oprleft, oprright)
                   AND (t.typtype <> 'b'
                        OR t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype,
                                     'numeric'::regtype)
                        OR EXISTS (SELECT FROM pg_cast c
                                   WHERE c.casttarget = t.oid AND c.castcontext = 'i'
                                     AND c.castsource IN ('int2'::regtype, 'int4'::regtype,
                                                          'int8'::regtype, 'numeric'::regtype))))
               THEN 'symbol of numbers' ELSE 'symbol' END, name, volatility
        FROM operator WHERE NOT system AND volatility > '1'
        UNION ALL
        SELECT 'implied', name, volatility
        FROM operator
        WHERE NOT system AND volatility > '1'
          AND (name IN ('=', '<>', '<', '>', '<=', '>=', '~', '!~', '~~', '!~~', '~~*', '!~~*')
               OR EXISTS (SELECT FROM pg_amop a JOIN pg_am m ON m.oid = a.amopmethod
                          WHERE a.amopopr = operator.oid AND m.amname IN ('btree', 'hash')))
        UNION ALL
        SELECT 'implied', function.name, function.volatility
        FROM pg_amproc a
        JOIN pg_opfamily f ON f.oid = a.amprocfamily
        JOIN pg_am m ON m.oid = f.opfmethod
        JOIN function ON function.oid = a.amproc
        WHERE m.amname IN ('btree', 'hash') AND NOT function.system AND function.volatility > '1'
        UNION ALL
        SELECT 'equality', name, volatility
        FROM operator
        WHERE NOT system AND name = '='
          AND EXISTS (SELECT FROM pg_type t WHERE t.oid IN (oprleft, oprright)
                      AND (t.oid < 16384 OR t.typtype IN ('d', 'p')))
    )
    SELECT kind, name, max(volatility) AS volatility FROM callable GROUP BY kind, name";

#[derive(QueryableByName)]
struct Callable {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    volatility: String,
}

/// `RETURNING old.column` came with PostgreSQL 18.
const VERSION: &str = "SELECT current_setting('server_version_num')::int >= 180000 AS returns_old";

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Bool)]
    returns_old: bool,
}

pub(super) async fn load(raw: &mut AsyncPgConnection) -> QueryResult<Catalog> {
    // The signature is taken first: a change between the two is noticed by the next check.
    let Signature { objects, search_path, .. } = signature(raw).await?;
    let rows: Vec<RelationRow> = diesel::sql_query(RELATIONS).load(raw).await?;
    let links: Vec<Link> = diesel::sql_query(LINKS).load(raw).await?;
    let names: Names =
        rows.iter().map(|row| (row.oid, TableName::qualified(&*row.schema, &*row.name))).collect();
    let callables: Vec<Callable> = diesel::sql_query(CALLABLES).load(raw).await?;
    let Version { returns_old } = diesel::sql_query(VERSION).get_result(raw).await?;
    let mut catalog = Catalog {
        returns_old,
        objects,
        search_path,
        system_schemas: SYSTEM_SCHEMAS,
        unknown_may_write: true,
        ..Catalog::default()
    };
    // The planner refuses what it knows of the system's; the rest is asked for by name, and a user's
    // function of the same name counts as well.
    let (system, own): (Vec<_>, Vec<_>) = callables.into_iter().partition(|it| it.kind == "system");
    let mut own_equality = false;
    for Callable { kind, name, volatility } in own {
        let (name, volatility) = (name.into(), self::volatility(&volatility));
        match &*kind {
            "row" => drop(catalog.row_functions.insert(name, volatility)),
            "symbol" => catalog.add_operator(name, false, volatility),
            "symbol of numbers" => catalog.add_operator(name, true, volatility),
            "implied" => {
                catalog.implied_operator = catalog.implied_operator.max(Some(volatility));
            }
            "equality" => own_equality = true,
            _ => catalog.add_callable(name, volatility),
        }
    }
    for Callable { name, volatility, .. } in system {
        if is_unlisted(&name) {
            let volatility = self::volatility(&volatility).min(Volatility::Volatile);
            catalog.add_callable(name.into(), volatility);
        }
    }
    catalog.relations = relations(&names, rows, links);
    tables::load(raw, &names, &mut catalog.relations, own_equality).await?;
    note_operators(&mut catalog);
    triggers::load(raw, &names, &mut catalog).await?;
    Ok(catalog)
}

/// Whether the planner leaves a function of the system's to the catalog. Those with `pg_` it judges
/// by the prefix.
fn is_unlisted(name: &str) -> bool {
    !name.starts_with("pg_") && !turbodiesel_sql::is_builtin(Dialect::Postgres, name)
}

/// Names of relations by the number that the catalog refers to them by.
type Names = HashMap<u32, TableName>;

fn relations(
    names: &Names,
    rows: Vec<RelationRow>,
    links: Vec<Link>,
) -> HashMap<TableName, Relation> {
    let mut relations: HashMap<TableName, Relation> =
        rows.into_iter().map(|row| (names[&row.oid].clone(), relation(row))).collect();
    for Link { kind, source, target } in links {
        let Some(relation) = names.get(&source).and_then(|name| relations.get_mut(name)) else {
            continue;
        };
        match (&*kind, names.get(&target).cloned()) {
            ("policy", Some(target)) => relation.policy_reads.push(target),
            (_, Some(target)) => relation.relatives.push(target),
            // A policy that reads a system catalog.
            ("policy", None) => relation.opaque_policies = true,
            // The other end is a temporary table.
            (_, None) => {}
        }
    }
    relations
}

fn relation(row: RelationRow) -> Relation {
    let kind = match (&*row.kind, row.body) {
        ("v", Some(body)) => RelationKind::View(Arc::new(plan(Dialect::Postgres, &body))),
        // A view whose definition this role may not see: planning nothing refuses everything.
        ("v", None) => RelationKind::View(Arc::new(plan(Dialect::Postgres, ""))),
        ("f", _) => RelationKind::Foreign,
        _ => RelationKind::Table,
    };
    Relation {
        kind,
        row_security: row.row_security,
        opaque_policies: row.opaque_policies,
        opaque_writes: row.opaque_writes,
        may_learn: row.may_learn,
        ..Relation::table()
    }
}

/// Notes the operators of views, once the columns of all relations are known.
fn note_operators(catalog: &mut Catalog) {
    let worst = |(name, relation): (&TableName, &Relation)| match &relation.kind {
        RelationKind::View(body) => Some((name.clone(), catalog.worst_operator(body)?)),
        RelationKind::Table | RelationKind::Foreign => None,
    };
    let operators: Vec<_> = catalog.relations.iter().filter_map(worst).collect();
    for (name, operator) in operators {
        let view = catalog.relations.get_mut(&name).expect("it was listed");
        view.operator = Some(operator);
    }
}

fn volatility(code: &str) -> Volatility {
    match code {
        "1" => Volatility::Immutable,
        "2" => Volatility::Stable,
        "3" => Volatility::Volatile,
        _ => Volatility::Writing,
    }
}
