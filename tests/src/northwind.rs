//! A realistic application over real data: Northwind, its lists, pages, reports and all kinds of
//! writes. Every answer equals that of plain diesel-async, before and after each write, and an answer
//! stays cached exactly as long as nobody writes what it reads.

mod questions;
mod schema;

use std::path::Path;

use diesel::{
    prelude::*, result::DatabaseErrorKind, result::Error as DieselError, sql_types::SmallInt,
};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use turbodiesel::{Bypass, Db, Outcome, Tier};
use turbodiesel_testkit::{Database, database};

use self::{
    questions::{Answered, Answers, ask, tier},
    schema::{customers, employees, order_details, orders, products, region, shippers},
};

/// The dump, which lies beside the repository and not in it.
const DUMP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/northwind.sql");

/// Northwind, reached through turbodiesel and past it.
struct Shop {
    plain: AsyncPgConnection,
    db: Db,
    answers: Answers,
    // Dropped last: it disconnects everybody.
    _database: Database,
}

/// What a write changes, as far as answers are concerned.
#[derive(Clone, Copy, Debug)]
enum Changes {
    /// Nothing: every answer survives.
    Nothing,
    /// Rows of these tables: answers that read none of them survive.
    Tables(&'static [&'static str]),
    /// Nobody can say: no answer survives.
    Anything,
}

impl Shop {
    /// `None` where the dump is absent.
    async fn open() -> Option<Self> {
        let path = Path::new(DUMP);
        if !path.exists() {
            eprintln!("skipped: there is no {}", path.display());
            return None;
        }
        let dump = std::fs::read_to_string(path).unwrap();
        let database = database();
        database.batch_execute(&dump).unwrap();
        // Answers must not expire, nor be read anew by chance, in the middle of the test.
        let builder = Tier::ALL.into_iter().fold(Db::builder(), |builder, tier| {
            builder.ttl(tier, std::time::Duration::from_secs(3600)).refresh_ahead(tier, 0.0)
        });
        let db = builder
            .url(database.url())
            .reference(["us_states", "region"])
            .hot(["orders", "products"])
            .build()
            .await
            .unwrap();
        let plain = AsyncPgConnection::establish(database.url()).await.unwrap();
        let mut shop = Self { plain, db, answers: Answers::new(), _database: database };
        shop.answers = ask(&mut shop).await;
        for (name, answered) in &shop.answers {
            assert_eq!(answered.outcome, Outcome::Miss, "{name}, for the first time");
        }
        shop.after("nothing", Changes::Nothing).await;
        let elsewhere =
            |name: &str, answered: &Answered| answered.outcome != Outcome::Hit(tier(name));
        let wrong = shop.answers.iter().filter(|(name, answered)| elsewhere(name, answered));
        let wrong: Vec<_> = wrong.map(|(name, answered)| (name, answered.outcome)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        Some(shop)
    }

    /// Asks everything after a write. `ask` compares with the plain answers; here is compared what
    /// was still cached with what should have been.
    async fn after(&mut self, write: &str, changes: Changes) {
        let before = std::mem::take(&mut self.answers);
        self.answers = ask(self).await;
        for (name, now) in &self.answers {
            let hit = matches!(now.outcome, Outcome::Hit(_));
            let must_survive = match changes {
                Changes::Nothing => true,
                Changes::Anything => false,
                Changes::Tables(tables) => !now.tables.iter().any(|table| tables.contains(table)),
            };
            assert!(hit || !must_survive, "{name}, after {write}: {}", now.outcome);
            let same = now.answer == before[name].answer;
            assert!(same || !must_survive, "{name} was changed by {write}, which nobody said");
            // Of the tables that were written, answers by a key of other rows may survive.
            let must_end = matches!(changes, Changes::Anything) || !same;
            assert!(!hit || !must_end, "{name}, after {write}: {}", now.outcome);
        }
    }

    /// Whether a question has another answer now than in `before`, so that a test proves something.
    #[track_caller]
    fn assert_changed(&self, name: &str, before: &str) {
        assert_ne!(self.answers[name].answer, before, "{name} should have changed");
    }

    fn answer(&self, name: &str) -> String {
        self.answers[name].answer.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_by_key() {
    let Some(mut shop) = Shop::open().await else { return };
    let db = shop.db.clone();

    let before = shop.answer("a product by key");
    let written = diesel::update(products::table.find(11))
        .set(products::unit_price.eq(99.5_f32))
        .execute(&mut &db)
        .await
        .unwrap();
    assert_eq!(written, 1);
    shop.after("an update by key", Changes::Tables(&["products"])).await;
    shop.assert_changed("a product by key", &before);

    let before = shop.answer("a product that is not there");
    let inserted: (i16, String) = diesel::insert_into(products::table)
        .values((
            products::product_id.eq(30_000),
            products::product_name.eq("Zwieback"),
            products::category_id.eq(5),
            products::unit_price.eq(1.25_f32),
            products::discontinued.eq(0),
        ))
        .returning((products::product_id, products::product_name))
        .get_result(&mut db.handle())
        .await
        .unwrap();
    assert_eq!(inserted, (30_000, "Zwieback".to_owned()));
    shop.after("an insert", Changes::Tables(&["products"])).await;
    shop.assert_changed("a product that is not there", &before);

    let mut connection = db.connection().await.unwrap();
    let deleted =
        diesel::delete(products::table.find(30_000)).execute(&mut connection).await.unwrap();
    assert_eq!(deleted, 1);
    drop(connection);
    shop.after("a delete by key", Changes::Tables(&["products"])).await;
    assert_eq!(shop.answer("a product that is not there"), before);

    let nobody = diesel::update(products::table.find(-1))
        .set(products::discontinued.eq(1))
        .execute(&mut &db)
        .await
        .unwrap();
    assert_eq!(nobody, 0);
    shop.after("an update of nothing", Changes::Tables(&["products"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_writes_and_upserts() {
    let Some(mut shop) = Shop::open().await else { return };
    let db = shop.db.clone();

    let before = shop.answer("revenue by category");
    let lines: Vec<(i16, i16, f32)> =
        diesel::update(order_details::table.filter(order_details::quantity.gt(100)))
            .set(order_details::discount.eq(order_details::discount + 0.01_f32))
            .returning((
                order_details::order_id,
                order_details::product_id,
                order_details::discount,
            ))
            .get_results(&mut db.handle())
            .await
            .unwrap();
    assert!(lines.len() > 10);
    shop.after("a bulk update", Changes::Tables(&["order_details"])).await;
    shop.assert_changed("revenue by category", &before);

    let before = shop.answer("products to reorder");
    let restocked = diesel::sql_query(
        "UPDATE products p SET units_in_stock = p.units_in_stock + 500
         FROM (SELECT product_id FROM order_details GROUP BY 1 HAVING sum(quantity) > 500) d
         WHERE d.product_id = p.product_id",
    )
    .execute(&mut &db)
    .await
    .unwrap();
    assert!(restocked > 10);
    shop.after("an update from a subquery", Changes::Tables(&["products"])).await;
    shop.assert_changed("products to reorder", &before);

    let before = shop.answer("shippers");
    let shipper = |phone: &'static str| {
        diesel::insert_into(shippers::table)
            .values((
                shippers::shipper_id.eq(1),
                shippers::company_name.eq("Speedy Express"),
                shippers::phone.eq(phone),
            ))
            .on_conflict(shippers::shipper_id)
    };
    let nothing = shipper("nobody").do_nothing().execute(&mut &db).await.unwrap();
    assert_eq!(nothing, 0);
    shop.after("an insert in vain", Changes::Tables(&["shippers"])).await;
    assert_eq!(shop.answer("shippers"), before);
    let phone: Option<String> = shipper("(503) 555-0000")
        .do_update()
        .set(shippers::phone.eq(diesel::upsert::excluded(shippers::phone)))
        .returning(shippers::phone)
        .get_result(&mut &db)
        .await
        .unwrap();
    assert_eq!(phone.as_deref(), Some("(503) 555-0000"));
    shop.after("an upsert", Changes::Tables(&["shippers"])).await;
    shop.assert_changed("shippers", &before);

    let before = shop.answer("territories of an employee");
    diesel::insert_into(region::table)
        .values([
            (region::region_id.eq(5), region::region_description.eq("Central")),
            (region::region_id.eq(6), region::region_description.eq("Offshore")),
        ])
        .execute(&mut &db)
        .await
        .unwrap();
    shop.after("an insert of two rows", Changes::Tables(&["region"])).await;
    assert_eq!(shop.answer("territories of an employee"), before);
    diesel::sql_query("UPDATE territories SET region_id = $1 WHERE region_id = 1")
        .bind::<SmallInt, _>(5)
        .execute(&mut &db)
        .await
        .unwrap();
    shop.after("an update in plain SQL", Changes::Tables(&["territories"])).await;
    shop.assert_changed("territories of an employee", &before);

    let before = shop.answer("an order with its lines");
    let moved = diesel::sql_query(
        "WITH gone AS (DELETE FROM order_details WHERE order_id = 10248 RETURNING *)
         INSERT INTO order_details
         SELECT 10249, product_id, unit_price, quantity, discount FROM gone
         ON CONFLICT DO NOTHING",
    )
    .execute(&mut &db)
    .await
    .unwrap();
    assert_eq!(moved, 3);
    shop.after("a write inside a CTE", Changes::Tables(&["order_details"])).await;
    shop.assert_changed("an order with its lines", &before);

    (&db)
        .batch_execute(
            "UPDATE employees SET title = 'Boss' WHERE employee_id = 2;
             UPDATE customers SET city = 'Lyon' WHERE country = 'France'",
        )
        .await
        .unwrap();
    shop.after("a batch", Changes::Anything).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions() {
    let Some(mut shop) = Shop::open().await else { return };
    let db = shop.db.clone();

    // An order with its lines: nobody else sees any of it before the commit.
    let before = (shop.answer("orders of a customer"), shop.answer("best customers"));
    let elsewhere = db.clone();
    db.transaction::<_, DieselError, _>(async |transaction| {
        diesel::insert_into(orders::table)
            .values((
                orders::order_id.eq(20_000),
                orders::customer_id.eq("ALFKI"),
                orders::employee_id.eq(1),
                orders::ship_via.eq(2),
            ))
            .execute(transaction)
            .await?;
        let lines: Vec<_> = [1, 2, 3]
            .map(|product| {
                (
                    order_details::order_id.eq(20_000),
                    order_details::product_id.eq(product),
                    order_details::unit_price.eq(10.0_f32),
                    order_details::quantity.eq(2000),
                    order_details::discount.eq(0.0_f32),
                )
            })
            .to_vec();
        diesel::insert_into(order_details::table).values(lines).execute(transaction).await?;

        let mine = orders::table.filter(orders::customer_id.eq("ALFKI")).count();
        let inside: i64 = mine.get_result(transaction).await?;
        assert_eq!(transaction.outcome(), Some(Outcome::Bypass(Bypass::InTransaction)));
        let outside: i64 = mine.get_result(&mut &elsewhere).await?;
        let again: i64 = mine.get_result(&mut &elsewhere).await?;
        assert_eq!((inside, outside, again), (7, 6, 6));
        Ok(())
    })
    .await
    .unwrap();
    shop.after("a transaction", Changes::Tables(&["orders", "order_details"])).await;
    shop.assert_changed("orders of a customer", &before.0);
    shop.assert_changed("best customers", &before.1);

    // Rolled back: nothing has happened.
    let rolled_back = db
        .transaction::<(), DieselError, _>(async |transaction| {
            let deleted = diesel::delete(order_details::table).execute(transaction).await?;
            assert!(deleted > 2000);
            let left: i64 = order_details::table.count().get_result(transaction).await?;
            assert_eq!(left, 0);
            Err(DieselError::RollbackTransaction)
        })
        .await;
    assert!(matches!(rolled_back, Err(DieselError::RollbackTransaction)));
    shop.after("a transaction rolled back", Changes::Nothing).await;

    // A savepoint that is rolled back takes its writes with it, one that is released keeps them.
    let before = (shop.answer("customers called like market"), shop.answer("who reports to whom"));
    let mut connection = db.connection().await.unwrap();
    connection
        .transaction::<_, DieselError, _>(async |outer| {
            diesel::update(customers::table.filter(customers::company_name.ilike("%market%")))
                .set(customers::contact_name.eq(None::<String>))
                .execute(outer)
                .await?;
            let inner = outer
                .transaction::<(), DieselError, _>(async |inner| {
                    diesel::update(products::table)
                        .set(products::unit_price.eq(0.0_f32))
                        .execute(inner)
                        .await?;
                    Err(DieselError::RollbackTransaction)
                })
                .await;
            assert!(inner.is_err());
            outer
                .transaction::<_, DieselError, _>(async |inner| {
                    diesel::update(employees::table.find(3))
                        .set(employees::reports_to.eq(1))
                        .execute(inner)
                        .await
                })
                .await?;
            Ok(())
        })
        .await
        .unwrap();
    drop(connection);
    shop.after("a transaction with savepoints", Changes::Tables(&["customers", "employees"])).await;
    shop.assert_changed("customers called like market", &before.0);
    shop.assert_changed("who reports to whom", &before.1);

    // A transaction that only reads.
    db.transaction::<_, DieselError, _>(async |transaction| {
        let count: i64 = orders::table.count().get_result(transaction).await?;
        assert_eq!(count, 831);
        Ok(())
    })
    .await
    .unwrap();
    shop.after("a transaction that reads", Changes::Nothing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail_or_are_not_ours() {
    let Some(mut shop) = Shop::open().await else { return };
    let db = shop.db.clone();

    let refused = async |theirs: Option<&mut AsyncPgConnection>| {
        let delete = diesel::delete(customers::table.find("ALFKI"));
        let result = match theirs {
            Some(plain) => delete.execute(plain).await,
            None => delete.execute(&mut &db).await,
        };
        let Err(DieselError::DatabaseError(kind, information)) = result else {
            panic!("the customer has orders: {result:?}")
        };
        assert!(matches!(kind, DatabaseErrorKind::ForeignKeyViolation));
        (information.message().to_owned(), information.constraint_name().map(ToOwned::to_owned))
    };
    assert_eq!(refused(None).await, refused(Some(&mut shop.plain)).await);
    shop.after("a delete that failed", Changes::Tables(&["customers"])).await;

    // Past turbodiesel nothing is noticed, until it is told.
    let before = shop.answer("how many orders");
    diesel::insert_into(orders::table)
        .values((orders::order_id.eq(21_000), orders::customer_id.eq("ALFKI")))
        .execute(&mut shop.plain)
        .await
        .unwrap();
    let count: i64 = orders::table.count().get_result(&mut &db).await.unwrap();
    assert_eq!(format!("[{count}]"), before);
    db.invalidate_table("orders").unwrap();
    shop.after("being told", Changes::Tables(&["orders"])).await;
    shop.assert_changed("how many orders", &before);

    db.invalidate_all();
    shop.after("invalidating everything", Changes::Anything).await;
    db.clear(Some(Tier::L3));
    let before = std::mem::take(&mut shop.answers);
    shop.answers = ask(&mut shop).await;
    for (name, answered) in &shop.answers {
        let hit = matches!(answered.outcome, Outcome::Hit(_));
        assert_eq!(hit, tier(name) != Tier::L3, "{name}");
        assert_eq!(answered.answer, before[name].answer);
    }
}
