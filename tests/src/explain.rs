//! What is said of a query when somebody asks why.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use turbodiesel::{Bypass, Tier, Verdict};

use crate::support::{open, open_with, users};

#[tokio::test]
async fn a_query_by_key() {
    let (_database, db) = open().await;
    let ann = || users::table.find(1).select(users::name);
    let before = db.explain(&ann()).unwrap();
    assert_eq!(before.verdict, Verdict::Cached { tier: Tier::L1 });
    assert_eq!(before.depends_on, ["public.users/id=?"]);
    assert!(before.ends.is_empty());
    assert!(before.kept.is_none());
    assert_eq!(before.last_ended_by.as_deref(), Some("a change of the catalog"));

    let _: String = ann().get_result(&mut &db).await.unwrap();
    let warm = db.explain(&ann()).unwrap();
    assert!(warm.kept.is_some_and(|entry| entry.bytes > 0 && !entry.expires_in.is_zero()));

    let update = diesel::update(users::table.find(1)).set(users::name.eq("Eve"));
    let explained = db.explain(&update).unwrap();
    let reason = Verdict::Bypassed { reason: Bypass::Write, detail: String::new() };
    assert_eq!(explained.verdict, reason);
    assert_eq!(explained.ends, ["public.users", "public.users/id=?", "public.users/team=?"]);
    update.execute(&mut &db).await.unwrap();
    let ended = db.explain(&ann()).unwrap();
    assert!(ended.kept.is_none());
    assert_eq!(ended.last_ended_by.as_deref(), Some(&*explained.sql));
    let text = ended.to_string();
    assert!(text.contains("last ended by UPDATE"), "{text}");
    assert!(text.contains("reads users[id, name] where id = $1"), "{text}");
}

#[tokio::test]
async fn of_a_transaction_the_statement_is_named_that_did_it() {
    let (_database, db) = open().await;
    let update = |id: i32| diesel::update(users::table.find(id)).set(users::name.eq("Eve"));
    db.transaction::<_, diesel::result::Error, _>(async |connection| {
        update(1).execute(connection).await?;
        diesel::delete(users::table.find(2)).execute(connection).await?;
        Ok(())
    })
    .await
    .unwrap();
    let why = |id: i32| db.explain(&users::table.find(id)).unwrap().last_ended_by.unwrap();
    assert!(why(1).starts_with("UPDATE"), "{}", why(1));
    assert!(why(2).starts_with("DELETE"), "{}", why(2));
    assert!(!why(3).starts_with("DELETE"), "{}", why(3));
    db.invalidate_table("users").unwrap();
    assert_eq!(&*why(2), "an invalidation by hand");
}

#[tokio::test]
async fn why_not() {
    let (_database, db) = open_with(
        "ALTER TABLE teams ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON teams USING (true);",
    )
    .await;
    let reason = |sql: &str| match db.explain(&diesel::sql_query(sql)).unwrap().verdict {
        Verdict::Bypassed { reason, detail } => (reason, detail),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(reason("SELECT now()").0, Bypass::StableFunction);
    assert_eq!(reason("SELECT id FROM nowhere"), (Bypass::UnknownTable, "nowhere".to_owned()));
    assert_eq!(reason("SELECT id FROM teams").0, Bypass::RowSecurity);
    assert_eq!(reason("SELECT id FROM users FOR UPDATE").0, Bypass::Locking);
    let scoped = db.handle().scope("tenant").explain(&diesel::sql_query("SELECT id FROM teams"));
    assert_eq!(scoped.unwrap().verdict, Verdict::Cached { tier: Tier::L1 });
    let everything = db.explain(&diesel::sql_query("FROBNICATE users")).unwrap();
    assert_eq!(everything.ends, ["*"]);
}
