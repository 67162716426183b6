//! `cargo xtask services`: private servers for work by hand.

use anyhow::Result;
use clap::Args;
use turbodiesel_testkit::PostgresOptions;

use crate::{servers, shell};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Also listen on a port of 127.0.0.1, for clients that know no Unix sockets
    #[arg(long)]
    tcp: bool,

    /// Keep fsync on
    #[arg(long)]
    durable: bool,

    /// End when the standard input ends, for use by another program
    #[arg(long)]
    until_eof: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let server = servers::private_postgres(&PostgresOptions {
        durable: options.durable,
        tcp: options.tcp,
        ..PostgresOptions::default()
    })?;
    let redis = servers::private_redis()?;
    println!("export DATABASE_URL='{}'", server.url());
    println!("export REDIS_URL='{}'", redis.url());
    eprintln!("in another terminal; Ctrl-C here ends the servers and removes their data");
    let waited = shell::wait_for_interrupt(options.until_eof);
    server.stop()?;
    redis.stop()?;
    match waited {
        // Here Ctrl-C is the way to end, not an accident.
        Err(error) if error.is::<shell::Interrupted>() => Ok(()),
        result => result,
    }
}
