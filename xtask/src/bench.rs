//! `cargo xtask bench`: the benchmarks on a private PostgreSQL over its Unix socket.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{servers, shell};

/// The environment variable in which the benchmarks find their server.
const POSTGRES_VARIABLE: &str = "TURBODIESEL_BENCH_POSTGRES";

#[derive(Args, Debug)]
#[command(after_help = "\
Suites:
  hit        an answer from the cache, against the query and a hand-written cache
  miss       what the cache adds to a query that it cannot answer
  off        what the library adds when everything is switched off
  herd       how many queries reach the database when thousands ask for the same
  memory     bytes kept per cached row
  mixed      reads and durable writes at the same time, against an ideal cache
  redis      the cache over Redis, against the raw client, and with Redis gone
  keyset     a page a million rows deep, against the first page and OFFSET
  n-plus-one what it costs to record queries and to find the loops among them")]
pub(crate) struct Options {
    /// The suites to run; all of them if none is named
    #[arg(value_name = "SUITE")]
    suites: Vec<String>,

    /// Fewer rounds: to see that it works, not to quote
    #[arg(long)]
    quick: bool,

    /// Write the rows as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.suites.is_empty() || options.suites.iter().any(|suite| suite == "redis") {
        servers::provide_redis()?;
    }
    let server = servers::postgres(None)?;
    let mut step =
        shell::cargo(["run", "--profile", "production", "--package", "turbodiesel-bench", "--"])
            .env(POSTGRES_VARIABLE, &server.url())
            .mend("`cargo xtask bench --help` lists the suites")
            .args(&options.suites);
    if options.quick {
        step = step.args(["--quick"]);
    }
    if let Some(path) = &options.json {
        step = step.args(["--json".as_ref(), path.as_os_str()]);
    }
    step.run()
}
