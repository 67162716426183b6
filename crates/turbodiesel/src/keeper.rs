//! Keeps the catalog current: checked on every new connection, after DDL and every ten seconds.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use diesel::QueryResult;
use tokio::{sync::Mutex, time::timeout};
use turbodiesel_cache::{Slot, Stamps};

use crate::{
    backend::Backend,
    catalog::{Catalog, SearchPath, Signature},
    causes::{Cause, Causes},
    db::Inner,
    error::unable_to_send,
};

/// How often the catalog is compared with the database's: a migration run elsewhere is noticed no
/// later than this.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long a check may take, so that a server that hangs holds up nothing else.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the periodic check waits for a connection of the pool before it opens its own.
const PATIENCE: Duration = Duration::from_secs(1);

/// A catalog with the number of its loading; everything derived from it remembers the number.
#[derive(Debug, Default)]
pub(crate) struct Edition {
    pub(crate) number: u64,
    pub(crate) catalog: Catalog,
}

/// The current catalog.
pub(crate) struct CatalogKeeper {
    current: ArcSwap<Edition>,
    /// The number of the current edition, for the path of a hit, which needs no more of it.
    number: AtomicU64,
    stamps: Arc<Stamps>,
    causes: Arc<Causes>,
    /// Held while the catalog is compared and loaded, so that an older one never replaces a newer.
    checking: Mutex<()>,
}

impl fmt::Debug for CatalogKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogKeeper").field("edition", &self.edition()).finish()
    }
}

impl CatalogKeeper {
    /// Starts with an empty catalog, in which every table is unknown: nothing is cached, and every
    /// write invalidates everything.
    pub(crate) fn new(stamps: Arc<Stamps>, causes: Arc<Causes>) -> Self {
        let (current, number) = (ArcSwap::default(), AtomicU64::default());
        Self { current, number, stamps, causes, checking: Mutex::new(()) }
    }

    pub(crate) fn current(&self) -> Guard<Arc<Edition>> {
        self.current.load()
    }

    /// The number of the current edition.
    #[inline]
    pub(crate) fn edition(&self) -> u64 {
        self.number.load(SeqCst)
    }

    /// Compares the catalog with the database's and loads it if it changed. The signature also says
    /// along which path names are looked up in this session, and who serves it.
    ///
    /// A check that fails leaves the empty catalog; so does one on a session that looks names up
    /// elsewhere than it did when it was `opened`, or sees what is not committed.
    pub(crate) async fn check<B: Backend>(
        &self,
        raw: &mut B::Raw,
        opened: Option<&SearchPath>,
    ) -> QueryResult<Signature> {
        // Not within the time: that others check is no reason to believe nothing any more.
        let _checking = self.checking.lock().await;
        let checked = timeout(CHECK_TIMEOUT, self.compare::<B>(raw, opened)).await;
        checked
            .unwrap_or_else(|_| Err(unable_to_send("the catalog check timed out".to_owned())))
            .inspect_err(|error| {
                tracing::warn!(%error, "the catalog could not be checked: nothing is cached");
                self.forget();
            })
    }

    /// Only one at a time.
    async fn compare<B: Backend>(
        &self,
        raw: &mut B::Raw,
        opened: Option<&SearchPath>,
    ) -> QueryResult<Signature> {
        let signature = B::catalog_signature(raw).await?;
        let Signature { objects, search_path, uncommitted, .. } = &signature;
        if *uncommitted || opened.is_some_and(|opened| opened != search_path) {
            self.forget();
            return Ok(signature);
        }
        let catalog = &self.current.load_full().catalog;
        if catalog.objects != *objects || catalog.search_path != *search_path {
            let catalog = B::load_catalog(raw).await?;
            tracing::debug!(relations = catalog.relations.len(), "catalog loaded");
            self.install(catalog);
        }
        Ok(signature)
    }

    /// Puts the empty catalog in place of one that may not be true any more, until the next check.
    pub(crate) fn forget(&self) {
        self.install(Catalog::default());
    }

    /// Whether the empty catalog is in place.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.current.load().catalog.search_path.is_empty()
    }

    /// A new catalog invalidates everything: what an answer depends on may have changed with it.
    fn install(&self, catalog: Catalog) {
        let mut catalog = Some(catalog);
        let before = self.current.rcu(|current| {
            let catalog = catalog.take().unwrap_or_default();
            Edition { number: current.number + 1, catalog }
        });
        // First the new catalog and its number, then the invalidation: whoever takes stamps after the
        // invalidation and still holds the old catalog notices by the number.
        self.number.fetch_max(before.number + 1, SeqCst);
        self.causes.note(Cause::CATALOG, [Slot::ALL]);
        self.stamps.change([Slot::ALL]);
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
        db.check_catalog().await;
    }
}

impl<B: Backend> Inner<B> {
    /// Checks the catalog on a connection of the pool, or where none becomes free soon on one of its
    /// own.
    pub(crate) async fn check_catalog(&self) {
        if let Ok(Ok(mut connection)) = timeout(PATIENCE, self.checkout()).await {
            if !connection.in_transaction() {
                connection.check_catalog(&self.keeper).await;
            }
        } else if self.settings.pool.keep_for_ever {
            // The only connection to its database is in use.
        } else if let Err(error) = self.pool.dedicated_connection().await {
            tracing::warn!(%error, "the catalog could not be checked: no connection");
        }
    }
}
