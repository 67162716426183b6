//! The PostgreSQL and Redis servers that a task works on.

use std::{env, path::Path};

use anyhow::Result;
use turbodiesel_testkit::{
    Error, Postgres, PostgresOptions, Redis, install_postgres, install_redis,
};

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

    /// The major version of a private server.
    pub(crate) fn major_version(&self) -> Option<u32> {
        match self {
            Self::Named(_) => None,
            Self::Private(server) => major_version(server.version()),
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

/// The number at the beginning of a version such as `15.14`, `18beta1` or `19devel`.
fn major_version(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A private server of the programs that somebody asked for, else the one that `DATABASE_URL` names,
/// else a private one.
pub(crate) fn postgres(programs: Option<&Path>) -> Result<Server> {
    match env::var("DATABASE_URL") {
        // The variable may also name a SQLite file, which is not meant here.
        Ok(url) if url.starts_with("postgres") && programs.is_none() => {
            eprintln!("using the PostgreSQL server of DATABASE_URL");
            Ok(Server::Named(url))
        }
        _ => {
            let programs = programs.map(Path::to_owned);
            private_postgres(&PostgresOptions { programs, ..PostgresOptions::default() })
                .map(Server::Private)
        }
    }
}

/// A private server. PostgreSQL is installed if it is missing and this user may install packages.
pub(crate) fn private_postgres(options: &PostgresOptions) -> Result<Postgres> {
    let server = match start(options) {
        // Somebody who names programs wants those and no others.
        Err(error)
            if error.is_not_installed()
                && options.programs.is_none()
                && env::var_os("PG_BIN").is_none() =>
        {
            install()?;
            start(options)?
        }
        result => result?,
    };
    shell::check_interrupted()?;
    eprintln!("private PostgreSQL {} is ready", server.version());
    Ok(server)
}

fn start(options: &PostgresOptions) -> Result<Postgres, Error> {
    let spinner = shell::spinner("starting a private PostgreSQL");
    let server = Postgres::with(options.clone());
    spinner.finish_and_clear();
    server
}

fn install() -> Result<(), Error> {
    let spinner = shell::spinner("installing PostgreSQL (a minute or two)");
    let installed = install_postgres(|command| spinner.suspend(|| eprintln!("$ {command}")));
    spinner.finish_and_clear();
    installed
}

/// A private Redis server. Redis is installed if it is missing and this user may install packages.
pub(crate) fn private_redis() -> Result<Redis> {
    let server = match Redis::start() {
        // Somebody who set REDIS_BIN wants that program and no other.
        Err(error) if error.is_not_installed() && env::var_os("REDIS_BIN").is_none() => {
            let spinner = shell::spinner("installing Redis (a minute or two)");
            let installed = install_redis(|command| spinner.suspend(|| eprintln!("$ {command}")));
            spinner.finish_and_clear();
            installed?;
            Redis::start()?
        }
        result => result?,
    };
    shell::check_interrupted()?;
    eprintln!("private Redis {} is ready", server.version());
    Ok(server)
}

/// Makes sure that programs which start Redis servers of their own can do so.
pub(crate) fn provide_redis() -> Result<()> {
    Ok(private_redis()?.stop()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_the_first_release_have_a_major_version_too() {
        for (version, expected) in
            [("15.14", Some(15)), ("18beta1", Some(18)), ("19devel", Some(19)), ("devel", None)]
        {
            assert_eq!(major_version(version), expected, "{version}");
        }
    }
}
