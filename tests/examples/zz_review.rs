#![allow(
    warnings,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    missing_docs,
    unreachable_pub
)]
use diesel::{prelude::*, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{Connection, Db, Outcome};
use turbodiesel_testkit::Database;

diesel::table! { orders { id -> Integer, customer -> Integer, code -> Text, note -> Nullable<Text> } }

const SCHEMA: &str = "
    CREATE TABLE customers (id integer PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id serial PRIMARY KEY, customer integer NOT NULL REFERENCES customers,
                         code text NOT NULL UNIQUE, note text);
    INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid');
    INSERT INTO orders (customer, code, note)
        VALUES (1, 'a', 'x'), (1, 'b', NULL), (2, 'c', NULL), (2, 'd', NULL), (3, 'e', NULL);";

async fn open_with(more: &str) -> (Database, Db) {
    let database = turbodiesel_testkit::database();
    database.batch_execute(SCHEMA).unwrap();
    if let Err(e) = database.batch_execute(more) {
        println!("   !! schema: {e}");
    }
    let db = Db::builder().url(database.url()).build().await.unwrap();
    (database, db)
}
#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    answer: String,
}
async fn ask(db: &Db, sql: &str) -> (String, Outcome) {
    let mut h = db.handle();
    let Answer { answer } = diesel::sql_query(sql).get_result(&mut h).await.unwrap();
    (answer, h.outcome().unwrap())
}
async fn fresh(db: &Db, sql: &str) -> String {
    let mut h = db.handle().bypass();
    let Answer { answer } = diesel::sql_query(sql).get_result(&mut h).await.unwrap();
    answer
}
async fn exec(db: &Db, sql: &str) -> QueryResult<usize> {
    diesel::sql_query(sql).execute(&mut &*db).await
}

async fn pin_eqeq() {
    let (_d, db) = open_with("CREATE FUNCTION par(int,int) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1 % 2 = $2 % 2';
        CREATE OPERATOR == (LEFTARG=int, RIGHTARG=int, FUNCTION=par);").await;
    let q = "SELECT coalesce(string_agg(code || coalesce(note,'-'),',' ORDER BY id),'') AS answer FROM orders WHERE customer == 1";
    println!("== first {:?}", ask(&db, q).await);
    println!("== second {:?}", ask(&db, q).await);
    exec(&db, "UPDATE orders SET note = 'CHANGED' WHERE id = 5").await.unwrap();
    println!("== served {:?} fresh {:?}", ask(&db, q).await, fresh(&db, q).await);
}

async fn implicit() {
    let t = "SELECT count(*)::text AS answer FROM customers";
    for (op, expr) in [
        ("<>", "id != note"),
        ("<>", "id <> note"),
        ("=", "id IN (note)"),
        ("=", "id IN ('x'::text, 'y'::text)"),
        ("=", "id IN (SELECT note FROM orders)"),
        ("<>", "id NOT IN (note)"),
        (">=", "id BETWEEN 'a'::text AND 'b'::text"),
        ("~~", "id LIKE 'a'::text"),
        ("!~~", "id NOT LIKE 'a'::text"),
        ("~~*", "id ILIKE 'a'::text"),
        ("=", "id IS DISTINCT FROM note"),
        ("=", "NULLIF(id, note) IS NULL"),
        ("=", "CASE id WHEN note THEN true END"),
        ("=", "(id, code) IN (SELECT note, code FROM orders)"),
    ] {
        let (_d, db) = open_with(&format!("CREATE FUNCTION bump(int,text) RETURNS bool LANGUAGE plpgsql AS
            'BEGIN INSERT INTO customers SELECT max(id)+1,''x'' FROM customers; RETURN true; END';
            CREATE OPERATOR {op} (LEFTARG=int, RIGHTARG=text, FUNCTION=bump); UPDATE orders SET note='n';")).await;
        ask(&db, t).await;
        let b = ask(&db, t).await;
        let r = exec(&db, &format!("SELECT ({expr})::text AS answer FROM orders WHERE code > 'd'"))
            .await;
        let (s, f) = (ask(&db, t).await, fresh(&db, t).await);
        println!(
            "implicit {op} in `{expr}`: {:?} before {} served {:?} fresh {f}  {}",
            r.is_ok().then_some(()).ok_or_else(|| r.err()),
            b.0,
            s,
            if s.0 != f { "WRONG" } else { "ok" }
        );
    }
}

async fn negator() {
    let t = "SELECT count(*)::text AS answer FROM customers";
    let (_d, db) = open_with("CREATE FUNCTION bump(int,text) RETURNS bool LANGUAGE plpgsql AS
            'BEGIN INSERT INTO customers SELECT max(id)+1,''x'' FROM customers; RETURN true; END';
            CREATE FUNCTION pure(int,text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT $1::text = $2';
            CREATE OPERATOR <#> (LEFTARG=int, RIGHTARG=text, FUNCTION=pure, NEGATOR = <!#>);
            CREATE OPERATOR <!#> (LEFTARG=int, RIGHTARG=text, FUNCTION=bump, NEGATOR = <#>); UPDATE orders SET note='n';").await;
    ask(&db, t).await;
    let b = ask(&db, t).await;
    exec(&db, "SELECT code AS answer FROM orders WHERE NOT (id <#> note)").await.unwrap();
    println!("negator before {} served {:?} fresh {}", b.0, ask(&db, t).await, fresh(&db, t).await);
}

async fn internal_position() {
    let (d, db) = open_with("CREATE TABLE audit_log (order_id int, happened_at_what_time timestamptz, who_has_done_it text, what_note text);
        CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS '
        BEGIN INSERT INTO audit_log (order_id, happened_at_what_time, who_has_done_it, what_note) VALUES (NEW.id, now(), current_user, NEW.note); RETURN NULL; END';
        CREATE TRIGGER audit AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION audit();").await;
    let mut c = db.connection().await.unwrap();
    let up = "UPDATE orders SET note = 'z' WHERE id = 3";
    println!("int {:?}", diesel::sql_query(up).execute(&mut c).await);
    d.batch_execute("ALTER TABLE audit_log DROP what_note").unwrap();
    for i in 0..3 {
        let e: QueryResult<()> =
            c.transaction(async |c| diesel::sql_query(up).execute(c).await.map(drop)).await;
        println!("internal position, try {i}: {e:?}");
    }
    println!("outside: {:?}", exec(&db, up).await);
}

async fn cancelled_twice() {
    let (d, db) = open_with("").await;
    let up = "UPDATE orders SET note = coalesce(note,'') || 'z' WHERE id = 3";
    exec(&db, up).await.unwrap();
    let mut locker = AsyncPgConnection::establish(d.url()).await.unwrap();
    locker.batch_execute("BEGIN; ALTER TABLE orders RENAME customer TO client").await.unwrap();
    let n0 = db.stats().statements;
    let task = {
        let db = db.clone();
        tokio::spawn(async move { exec(&db, up).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    locker.batch_execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'UPDATE orders%' AND pid <> pg_backend_pid(); COMMIT").await.unwrap();
    println!(
        "cancelled by the administrator: {:?}; statements {}",
        task.await.unwrap(),
        db.stats().statements - n0
    );
    println!("   note {}", fresh(&db, "SELECT note AS answer FROM orders WHERE id = 3").await);
    // the same, a key is added only
    let (d, db) = open_with("").await;
    exec(&db, up).await.unwrap();
    let mut locker = AsyncPgConnection::establish(d.url()).await.unwrap();
    locker.batch_execute("BEGIN; CREATE INDEX ON orders (note); ALTER TABLE orders ADD k int; CREATE INDEX ON orders(k)").await.unwrap();
    let n0 = db.stats().statements;
    let task = {
        let db = db.clone();
        tokio::spawn(async move { exec(&db, up).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    locker.batch_execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'UPDATE orders%' AND pid <> pg_backend_pid(); COMMIT").await.unwrap();
    println!(
        "cancelled, a key was added: {:?}; statements {}",
        task.await.unwrap(),
        db.stats().statements - n0
    );
}

async fn not_undone_twice() {
    // own error after a side effect that is not undone: C function (dblink) / sequence / advisory lock
    let (d, db) = open_with(
        "CREATE TABLE told (n int); CREATE SEQUENCE s;
       ",
    )
    .await;
    let ins =
        "INSERT INTO orders (customer, code, note) VALUES (1, 'k', (nextval('s')::int / 0)::text)";
    let ok = "INSERT INTO orders (customer, code, note) VALUES (1, 'k', nextval('s')::text)";
    exec(&db, "UPDATE orders SET note = 'q' WHERE id = 3").await;
    println!("seq first {:?}", exec(&db, ins).await.map_err(|e| e.to_string()));
    println!("   last {}", fresh(&db, "SELECT last_value::text AS answer FROM s").await);
    d.batch_execute("CREATE INDEX ON orders (note)").unwrap();
    let n0 = db.stats().statements;
    println!(
        "seq second, key added {:?} statements {}",
        exec(&db, ins).await.map_err(|e| e.to_string()),
        db.stats().statements - n0
    );
    println!("   last {}", fresh(&db, "SELECT last_value::text AS answer FROM s").await);
}

async fn prepared_in_tx() {
    let (d, db) = open_with("").await;
    let mut c = db.connection().await.unwrap();
    let del = |n: i32| diesel::delete(orders::table.filter(orders::id.eq(n)));
    println!("del {:?}", del(4).execute(&mut c).await);
    println!("del {:?}", del(5).execute(&mut c).await);
    d.batch_execute("ALTER TABLE orders RENAME customer TO client").unwrap();
    for i in 0..2 {
        let e: QueryResult<()> = c.transaction(async |c| del(3).execute(c).await.map(drop)).await;
        println!("prepared in tx, try {i}: {e:?}");
    }
}

async fn forgotten() {
    let (d, _db) = open_with("DO 'BEGIN CREATE ROLE zzwriter LOGIN; EXCEPTION WHEN duplicate_object THEN END';
                  GRANT SELECT, INSERT, UPDATE ON orders, customers TO zzwriter; CREATE SEQUENCE s; GRANT ALL ON SEQUENCE s TO zzwriter;").await;
    let db =
        Db::builder().url(&d.url().replace("//postgres@", "//zzwriter@")).build().await.unwrap();
    let up = "UPDATE orders SET note = coalesce(note,'') || 'z' WHERE id = 3";
    exec(&db, up).await.unwrap();
    let q = "SELECT count(*)::text AS answer FROM customers";
    ask(&db, q).await;
    println!("forgotten: before {:?}", ask(&db, q).await);
    // stands for any reason why the comparison fails: time, memory, a right
    d.batch_execute("REVOKE SELECT ON pg_catalog.pg_policy FROM PUBLIC").unwrap();
    let n0 = db.stats().statements;
    let up = "UPDATE orders SET note = (nextval('s')::int / 0)::text WHERE id = 3";
    println!(
        "forgotten: {:?} statements {}",
        exec(&db, up).await.map_err(|e| e.to_string()),
        db.stats().statements - n0
    );
    println!(
        "   {:?} sequence {}",
        ask(&db, q).await,
        fresh(&db, "SELECT last_value::text AS answer FROM s").await
    );
    d.batch_execute("GRANT SELECT ON pg_catalog.pg_policy TO PUBLIC").unwrap();
}


async fn second() {
    let (_d, db) = open_with("CREATE TABLE items (id serial primary key, code varchar unique, note text);
        CREATE FUNCTION ci(varchar,varchar) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN lower($1::text) = lower($2::text); END';
        CREATE OPERATOR = (LEFTARG=varchar, RIGHTARG=varchar, FUNCTION=ci);
        INSERT INTO items (code, note) VALUES ('A','1'),('a','2');").await;
    let q = "SELECT coalesce(string_agg(code || note, ',' ORDER BY id), '') AS answer FROM items WHERE code = 'A'";
    ask(&db, q).await; println!("varchar = : {:?}", ask(&db, q).await);
    exec(&db, "UPDATE items SET note = 'CHANGED' WHERE id = 2").await.unwrap();
    println!("varchar = : served {:?} fresh {}", ask(&db, q).await, fresh(&db, q).await);

    for expr in ["id IN ('x'::text)", "id != 'x'::text", "id LIKE 'x'::text"] {
        let op = if expr.contains("IN") { "=" } else if expr.contains("LIKE") { "~~" } else { "<>" };
        let (_d, db) = open_with(&format!("CREATE FUNCTION look(int,text) RETURNS bool STABLE LANGUAGE plpgsql AS
            'BEGIN RETURN (SELECT count(*) FROM customers) > 3; END';
            CREATE OPERATOR {op} (LEFTARG=int, RIGHTARG=text, FUNCTION=look);")).await;
        let q = format!("SELECT ({expr})::text AS answer FROM orders WHERE id = 1");
        ask(&db, &q).await; let b = ask(&db, &q).await;
        exec(&db, "INSERT INTO customers VALUES (4, 'Dan')").await.unwrap();
        println!("stable `{expr}`: before {b:?} served {:?} fresh {}", ask(&db, &q).await, fresh(&db, &q).await);
    }

    let t = "SELECT count(*)::text AS answer FROM customers";
    let (_d, db) = open_with("CREATE FUNCTION bump(int,text) RETURNS bool LANGUAGE plpgsql AS
            'BEGIN INSERT INTO customers SELECT max(id)+1,''x'' FROM customers; RETURN true; END';
            CREATE FUNCTION pure(int,text) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1::text = $2; END';
            CREATE OPERATOR <#> (LEFTARG=int, RIGHTARG=text, FUNCTION=pure, NEGATOR = <!#>);
            CREATE OPERATOR <!#> (LEFTARG=int, RIGHTARG=text, FUNCTION=bump, NEGATOR = <#>); UPDATE orders SET note='n';").await;
    ask(&db, t).await; let b = ask(&db, t).await;
    exec(&db, "SELECT code AS answer FROM orders WHERE NOT (id <#> note)").await.unwrap();
    println!("negator before {} served {:?} fresh {}", b.0, ask(&db, t).await, fresh(&db, t).await);
    // an extension in pg_catalog
    let (_d, db) = open_with("CREATE FUNCTION pg_catalog.zzlook(int,int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM public.customers); END';
            CREATE OPERATOR pg_catalog.% (LEFTARG=int, RIGHTARG=text, FUNCTION=zzlook2);").await;
    let (_d, db) = open_with("CREATE EXTENSION pg_trgm WITH SCHEMA pg_catalog").await;
    let q = "SELECT (code % 'ab')::text AS answer FROM orders WHERE id = 1";
    ask(&db, q).await; println!("pg_trgm in pg_catalog: {:?}", ask(&db, q).await.1);
    let (_d, db) = open_with("CREATE EXTENSION pg_trgm").await;
    ask(&db, q).await; println!("pg_trgm in public: {:?}", ask(&db, q).await.1);
}

#[tokio::main]
async fn main() { second().await; }
