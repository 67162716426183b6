//! Keeps the catalog current: checked on every new connection, after DDL and every ten seconds.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use diesel::QueryResult;
use tokio::sync::Mutex;
use turbodiesel_cache::{Slot, Stamps};

use crate::{backend::Backend, catalog::Catalog, db::Inner};

/// How often the catalog is compared with the database's: a migration run elsewhere is noticed no
/// later than this.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// A catalog with the number of its loading; everything derived from it remembers the number.
#[derive(Debug, Default)]
pub(crate) struct Edition {
    pub(crate) number: u64,
    pub(crate) catalog: Catalog,
}

/// The current catalog.
pub(crate) struct CatalogKeeper {
    current: ArcSwap<Edition>,
    stamps: Arc<Stamps>,
    /// Held while the catalog is compared and loaded, so that an older one never replaces a newer.
    checking: Mutex<()>,
}

impl fmt::Debug for CatalogKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogKeeper").field("edition", &self.current.load().number).finish()
    }
}

impl CatalogKeeper {
    /// Starts with an empty catalog, in which every table is unknown and nothing is cached.
    pub(crate) fn new(stamps: Arc<Stamps>) -> Self {
        Self { current: ArcSwap::default(), stamps, checking: Mutex::new(()) }
    }

    pub(crate) fn current(&self) -> Guard<Arc<Edition>> {
        self.current.load()
    }

    /// Compares the catalog with the database's and loads it if it changed. A change invalidates
    /// everything: what an answer depends on may have changed with it.
    pub(crate) async fn check<B: Backend>(&self, raw: &mut B::Raw) -> QueryResult<()> {
        let _checking = self.checking.lock().await;
        let current = self.current.load_full();
        let signature = B::catalog_signature(raw).await?;
        if current.number > 0 && signature == current.catalog.signature {
            return Ok(());
        }
        let catalog = B::load_catalog(raw).await?;
        let relations = catalog.relations.len();
        let number = current.number + 1;
        // First the new catalog, then the invalidation: whoever takes its stamps after the
        // invalidation and still holds the old catalog notices by the edition's number.
        self.current.store(Arc::new(Edition { number, catalog }));
        self.stamps.change([Slot::ALL]);
        tracing::debug!(relations, edition = number, "catalog loaded");
        Ok(())
    }
}

/// Checks at the interval for as long as the `Db` lives.
pub(crate) async fn check_at_intervals<B: Backend>(db: Weak<Inner<B>>) {
    let mut interval = tokio::time::interval(CHECK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.tick().await;
    loop {
        interval.tick().await;
        let Some(db) = db.upgrade() else { return };
        if db.is_closed() {
            return;
        }
        // A busy pool is not waited for: its connections carry the application's load, and each new
        // one checks by itself.
        let checked = match db.checkout().await {
            Ok(mut connection) => {
                if connection.in_transaction() {
                    continue;
                }
                let checked = db.keeper.check::<B>(connection.start()).await;
                connection.finish(checked)
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = checked {
            tracing::warn!(%error, "the catalog could not be checked");
        }
    }
}
