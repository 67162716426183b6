//! A fresh database for a test, on a private server or on the one the environment names.

use std::{
    env,
    future::Future,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tokio_postgres::NoTls;

use crate::{Error, Postgres};

/// The environment variable in which `cargo xtask test` names the private server that all test
/// processes share.
pub const TEST_POSTGRES_VARIABLE: &str = "TURBODIESEL_TEST_POSTGRES";

/// A fresh, empty database. Dropping it drops the database, whoever is still connected to it.
#[derive(Debug)]
pub struct Database {
    url: String,
    name: String,
    /// How the kit itself reaches the server, which may differ from how a test does.
    server_url: String,
}

/// A fresh database for the calling test.
///
/// It lies on the server that `TURBODIESEL_TEST_POSTGRES` names (`cargo xtask test` sets it), else
/// on the one of `DATABASE_URL`, else on a private server that the first call starts for this
/// process and that ends with it.
///
/// # Panics
///
/// If there is no server and none can be started, with the command that mends it.
#[must_use]
pub fn database() -> Database {
    Database::on(server_url())
        .unwrap_or_else(|error| panic!("no database for this test: {}", with_sources(&error)))
}

impl Database {
    /// Makes a database on the server of a URL, whose user must be allowed to. The kit's own client
    /// speaks no TLS.
    ///
    /// # Errors
    ///
    /// [`Error::is_database`] if the server cannot be reached or refuses.
    pub fn on(server_url: &str) -> Result<Self, Error> {
        Self::create(server_url, server_url)
    }

    fn create(server_url: &str, public_url: &str) -> Result<Self, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // The server may be shared with other processes, also of other machines.
        let salt = crate::postgres::random() >> 40;
        let name = format!("turbodiesel_{}_{count}_{salt:06x}", std::process::id());
        execute(server_url, &format!("CREATE DATABASE {name} TEMPLATE template0"))?;
        let url = with_database(public_url, &name);
        Ok(Self { url, name, server_url: server_url.to_owned() })
    }

    /// The URL of the database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database, a plain identifier that is unique on its server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs statements separated by semicolons, for instance to make the schema.
    ///
    /// # Errors
    ///
    /// [`Error::is_database`] with PostgreSQL's message.
    pub fn batch_execute(&self, statements: &str) -> Result<(), Error> {
        execute(&with_database(&self.server_url, &self.name), statements)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped =
            execute(&self.server_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        if let Err(error) = dropped {
            eprintln!("the test database {} stays: {}", self.name, with_sources(&error));
        }
    }
}

impl Postgres {
    /// Makes a fresh database on this server, over the Unix socket. Drop it before the server.
    ///
    /// # Errors
    ///
    /// [`Error::is_database`] if the server is no longer there.
    pub fn create_database(&self) -> Result<Database, Error> {
        Database::create(&self.socket_url(), &self.url())
    }
}

/// The server of this process's tests.
fn server_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    // Never dropped: its watchdog sees the process end.
    static SERVER: OnceLock<Postgres> = OnceLock::new();

    URL.get_or_init(|| {
        let named = [TEST_POSTGRES_VARIABLE, "DATABASE_URL"].into_iter().find_map(|variable| {
            // A DATABASE_URL for SQLite is meant for the demo, not for these tests.
            env::var(variable).ok().filter(|url| url.starts_with("postgres"))
        });
        named.unwrap_or_else(|| {
            SERVER.get_or_init(|| Postgres::start().unwrap_or_else(|error| panic!("{error}"))).url()
        })
    })
}

/// Runs statements on a connection of their own.
fn execute(url: &str, statements: &str) -> Result<(), Error> {
    block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls)
            .await
            .map_err(|error| Error::database("cannot connect to PostgreSQL", error))?;
        tokio::spawn(connection);
        client
            .batch_execute(statements)
            .await
            .map_err(|error| Error::database("PostgreSQL refused a statement", error))
    })
}

/// Runs a future to its end on a thread of its own, because the caller may be inside a runtime.
fn block_on<T: Send>(future: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
                .map_err(|error| Error::io("cannot start a runtime", error))?;
            runtime.block_on(future)
        };
        // OK because the future does not panic.
        scope.spawn(run).join().expect("the future does not panic")
    })
}

/// The URL, or the `key=value` string, of another database on the same server.
fn with_database(server: &str, name: &str) -> String {
    let Some((scheme, rest)) = server.split_once("://") else {
        // In the `key=value` form the last value of a key counts.
        return format!("{server} dbname={name}");
    };
    let (address, query) = match rest.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (rest, String::new()),
    };
    let authority = address.split_once('/').map_or(address, |(authority, _)| authority);
    format!("{scheme}://{authority}/{name}{query}")
}

fn with_sources(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (server, expected) in [
            ("postgres://u:p@host:5432/old", "postgres://u:p@host:5432/new"),
            (
                "postgres://u@%2Ftmp%2Fx/old?sslmode=disable",
                "postgres://u@%2Ftmp%2Fx/new?sslmode=disable",
            ),
            ("postgresql:///old?host=/run/x", "postgresql:///new?host=/run/x"),
            ("postgres://host", "postgres://host/new"),
            ("host=/tmp user=u dbname=old", "host=/tmp user=u dbname=old dbname=new"),
        ] {
            assert_eq!(with_database(server, "new"), expected);
        }
    }
}
