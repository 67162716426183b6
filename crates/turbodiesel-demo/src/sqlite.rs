//! The demo on SQLite: a file in a temporary folder.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use diesel::{
    Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sqlite::Sqlite,
};
use diesel_async::{
    AsyncConnection, SimpleAsyncConnection,
    pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod},
    sync_connection_wrapper::SyncConnectionWrapper,
};
// Linked for its bundled library.
use libsqlite3_sys as _;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use turbodiesel::Db;

use crate::{
    contender::{Plain, StatementCounter, Turbodiesel},
    data::Data,
    place::{self, HOT, Place, REFERENCE},
    progress::Progress,
    schema::{self, for_each_table},
};

/// The service, compiled for this backend.
#[path = "service.rs"]
pub(crate) mod service;
use Sqlite as Backend;

/// How turbodiesel sets up its connections, so that both contenders have the same.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
                       PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

/// Rows between two looks at the progress and at interrupts.
const CHUNK: usize = 1000;

/// A temporary folder with a database file for each contender.
pub(crate) struct SqlitePlace {
    folder: TempDir,
    description: String,
    /// The database as it was loaded, before anybody wrote to it.
    pristine: Option<PathBuf>,
    /// How many copies of it have been made. The last one is in use.
    copies: u32,
}

impl SqlitePlace {
    pub(crate) fn new(label: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("turbodiesel-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let description = label.map_or_else(description, ToOwned::to_owned);
        Ok(Self { folder, description, pristine: None, copies: 0 })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(format!("run-{}.db", self.copies))
    }

    fn url(&self) -> Result<String> {
        let file = self.file();
        file.to_str().map(ToOwned::to_owned).context("the temporary folder's path is not Unicode")
    }
}

impl Place for SqlitePlace {
    type Plain = Plain<AsyncDieselConnectionManager<SyncConnectionWrapper<SqliteConnection>>>;
    type Turbodiesel = Turbodiesel<Sqlite>;

    fn describe(&self) -> &str {
        &self.description
    }

    async fn reset(
        &mut self,
        data: &Arc<Data>,
        progress: &Progress,
        interrupt: &CancellationToken,
    ) -> Result<()> {
        let pristine = match self.pristine.clone() {
            Some(pristine) => pristine,
            None => {
                let pristine = self.folder.path().join("pristine.db");
                let (path, data) = (pristine.clone(), Arc::clone(data));
                let (progress, interrupt) = (progress.clone(), interrupt.clone());
                tokio::task::spawn_blocking(move || load(&path, &data, &progress, &interrupt))
                    .await??;
                self.pristine.insert(pristine).clone()
            }
        };
        self.copies += 1;
        std::fs::copy(pristine, self.file()).context("cannot copy the database file")?;
        Ok(())
    }

    async fn plain(&self, connections: u32) -> Result<Self::Plain> {
        let statements = StatementCounter::default();
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let counter = statements.clone();
        config.custom_setup = Box::new(move |url| {
            let (url, counter) = (url.to_owned(), counter.clone());
            Box::pin(async move {
                let mut connection = SyncConnectionWrapper::establish(&url).await?;
                connection
                    .batch_execute(SESSION)
                    .await
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                connection.set_instrumentation(counter);
                Ok(connection)
            })
        });
        let manager = AsyncDieselConnectionManager::new_with_config(self.url()?, config);
        let pool = bb8::Pool::builder()
            .max_size(connections)
            .test_on_check_out(false)
            .build(manager)
            .await
            .context("cannot open the database file")?;
        Ok(Plain { pool, statements })
    }

    async fn turbodiesel(&self, connections: u32) -> Result<Self::Turbodiesel> {
        let db = Db::sqlite()
            .url(self.url()?)
            .pool_size(connections)
            .reference(REFERENCE)
            .hot(HOT)
            .build()
            .await?;
        Ok(Turbodiesel(db))
    }

    async fn remove(self) -> Result<()> {
        self.folder.close().context("cannot remove the temporary folder")
    }
}

fn description() -> String {
    let version = SqliteConnection::establish(":memory:").ok().and_then(|mut connection| {
        diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>("sqlite_version()"))
            .get_result::<String>(&mut connection)
            .ok()
    });
    format!("embedded SQLite {}", version.unwrap_or_default())
}

/// Makes a database file with these rows.
fn load(
    path: &Path,
    data: &Data,
    progress: &Progress,
    interrupt: &CancellationToken,
) -> Result<()> {
    let url = path.to_str().context("the temporary folder's path is not Unicode")?;
    let mut connection = SqliteConnection::establish(url)?;
    // Nobody needs a half-loaded file.
    connection.batch_execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")?;
    connection.batch_execute(&schema::create_tables("integer PRIMARY KEY"))?;
    connection.batch_execute("BEGIN")?;
    macro_rules! insert {
        ($table:ident) => {
            for rows in data.$table.chunks(CHUNK) {
                place::check(interrupt)?;
                for row in rows {
                    diesel::insert_into(schema::$table::table)
                        .values(row)
                        .execute(&mut connection)?;
                }
                progress.advance(rows.len());
            }
        };
    }
    for_each_table!(insert);
    connection.batch_execute("COMMIT; ANALYZE;")?;
    Ok(())
}
