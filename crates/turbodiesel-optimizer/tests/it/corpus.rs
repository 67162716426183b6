//! The labelled corpus: small programs, what is wrong with each, and whether exactly that is found.
//!
//! Every program runs on PostgreSQL and on SQLite. Precision and recall are counted over pairs of a
//! program and a class.

#[macro_use]
mod run;

mod postgres {
    //! The programs on PostgreSQL.
    use super::run::Program;
    use crate::shop::{PgConn as Conn, Shop as AnyShop};

    type Shop = AnyShop<turbodiesel_testkit::Database>;

    include!("corpus/reads.rs");
    include!("corpus/concurrent.rs");
    include!("corpus/writes.rs");
    include!("corpus/fine.rs");

    // On one thread nothing arrives before all who can ask have asked.
    #[tokio::test]
    async fn precision_and_recall_on_postgres() {
        let shop = std::sync::Arc::new(Shop::postgres());
        let programs = reads().into_iter().chain(concurrent()).chain(writes()).chain(fine());
        super::run::judge!(shop, programs.collect::<Vec<_>>());
    }
}

mod sqlite {
    //! The programs on SQLite.
    use super::run::Program;
    use crate::shop::{Shop as AnyShop, SqliteConn as Conn};

    type Shop = AnyShop<turbodiesel_testkit::SqliteFile>;

    include!("corpus/reads.rs");
    include!("corpus/writes.rs");
    include!("corpus/fine.rs");

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn precision_and_recall_on_sqlite() {
        let shop = std::sync::Arc::new(Shop::sqlite());
        let programs = reads().into_iter().chain(writes()).chain(fine());
        super::run::judge!(shop, programs.collect::<Vec<_>>());
    }
}
