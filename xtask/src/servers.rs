//! The PostgreSQL server that a task works on.

use std::env;

use anyhow::Result;
use turbodiesel_testkit::{Error, Postgres, PostgresOptions, install_command, install_postgres};

use crate::shell;

/// A PostgreSQL server for a task.
#[derive(Debug)]
pub(crate) enum Server {
    /// The one that `DATABASE_URL` names, which stays as it is.
    Named(String),
    /// One that ends when this is dropped.
    Private(Postgres),
}

impl Server {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Named(url) => url.clone(),
            Self::Private(server) => server.url(),
        }
    }

    /// The server in words.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Named(_) => "PostgreSQL of DATABASE_URL".to_owned(),
            Self::Private(server) => format!("private PostgreSQL {}", server.version()),
        }
    }
}

/// The server that `DATABASE_URL` names, else a private one.
pub(crate) fn postgres() -> Result<Server> {
    match env::var("DATABASE_URL") {
        // The variable may also name a SQLite file, which is not meant here.
        Ok(url) if url.starts_with("postgres") => {
            eprintln!("using the PostgreSQL server of DATABASE_URL");
            Ok(Server::Named(url))
        }
        _ => private_postgres(&PostgresOptions::default()).map(Server::Private),
    }
}

/// A private server. PostgreSQL is installed if it is missing and this user may install packages.
pub(crate) fn private_postgres(options: &PostgresOptions) -> Result<Postgres> {
    let server = match start(options) {
        Err(error) if error.is_not_installed() && env::var_os("PG_BIN").is_none() => {
            install(&error)?;
            start(options)?
        }
        result => result?,
    };
    shell::check_interrupted()?;
    Ok(server)
}

fn start(options: &PostgresOptions) -> Result<Postgres, Error> {
    let spinner = shell::spinner("starting a private PostgreSQL");
    let server = Postgres::with(options.clone());
    spinner.finish_and_clear();
    if let Ok(server) = &server {
        eprintln!("private PostgreSQL {} is ready", server.version());
    }
    server
}

fn install(missing: &Error) -> Result<()> {
    eprintln!("{missing}");
    if let Some(command) = install_command() {
        eprintln!("$ {command}");
    }
    let spinner = shell::spinner("installing PostgreSQL (a minute or two)");
    let installed = install_postgres();
    spinner.finish_and_clear();
    Ok(installed?)
}
