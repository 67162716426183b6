//! The benchmarks: turbodiesel against plain diesel-async and a hand-written cache.
//!
//! Run by `cargo xtask bench`, which starts a private PostgreSQL server and names it in
//! `TURBODIESEL_BENCH_POSTGRES`. Contenders take turns round by round in one process, so that
//! whatever else the machine does meets all of them; a figure is the median over the rounds, with
//! the smallest and the greatest beside it. Latencies are measured on one thread, with one query at
//! a time, client and server on cores of their own; `herd` and `mixed` run on all cores.
//!
//! Modules, in reading order:
//!
//! - `model`: the table, its rows, the queries and the ways to ask them.
//! - `rounds`: timing and medians.
//! - `hit`, `miss`, `off`, `herd`, `memory`, `mixed`, `redis`, `keyset`, `n_plus_one`: the suites.
//! - `stub`: a database that answers at once, for `off`.
//! - `allocations`: a global allocator that can count.
//! - `cores`: who runs on which core.
//! - `report`, `machine`: tables, JSON, and where it ran.

#![allow(clippy::disallowed_methods, reason = "benchmarks measure wall-clock time")]

mod allocations;
mod cores;
mod herd;
mod hit;
mod keyset;
mod machine;
mod memory;
mod miss;
mod mixed;
mod model;
mod n_plus_one;
mod off;
mod redis;
mod report;
mod rounds;
mod stub;

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// The environment variable that names the server, set by `cargo xtask bench`.
const POSTGRES_VARIABLE: &str = "TURBODIESEL_BENCH_POSTGRES";

/// The benchmarks of turbodiesel. Run them by `cargo xtask bench`.
#[derive(Debug, Parser)]
struct Cli {
    /// The suites to run; all of them if none is named
    suites: Vec<Suite>,

    /// Fewer rounds: to see that it works, not to quote
    #[arg(long)]
    quick: bool,

    /// Write the rows as JSON
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Suite {
    Hit,
    Miss,
    Off,
    Herd,
    Memory,
    Mixed,
    Redis,
    Keyset,
    NPlusOne,
}

/// What every suite is told.
#[derive(Clone, Debug)]
struct Context {
    /// A PostgreSQL server on which databases may be made.
    server_url: String,
    quick: bool,
}

impl Context {
    /// How many rounds to run, of which `--quick` runs three.
    fn rounds(&self, rounds: usize) -> usize {
        if self.quick { 3 } else { rounds }
    }
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let server_url = env::var(POSTGRES_VARIABLE).with_context(|| {
        format!("{POSTGRES_VARIABLE} names no server: run this by `cargo xtask bench`")
    })?;
    let context = Context { server_url, quick: cli.quick };
    println!("{}", cores::all()?.block_on(machine::facts(&context))?);

    let all = Suite::value_variants().to_vec();
    let suites = if cli.suites.is_empty() { all } else { cli.suites };
    let mut rows = Vec::new();
    for suite in suites {
        let report = measure(suite, &context)?;
        println!("\n{report}");
        rows.extend(report.into_rows());
    }
    if let Some(path) = cli.json {
        let json = serde_json::to_string_pretty(&rows)?;
        std::fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn measure(suite: Suite, context: &Context) -> Result<Report> {
    let (runtime, _apart) = match suite {
        Suite::Hit | Suite::Miss | Suite::Off | Suite::Keyset | Suite::NPlusOne => {
            let (runtime, apart) = cores::apart(&context.server_url)?;
            (runtime, Some(apart))
        }
        Suite::Herd | Suite::Memory | Suite::Mixed | Suite::Redis => (cores::all()?, None),
    };
    let context = context.clone();
    // In a task of its own: the main thread is not one of the runtime's workers.
    runtime.block_on(async { tokio::spawn(run(suite, context)).await? })
}

async fn run(suite: Suite, context: Context) -> Result<Report> {
    match suite {
        Suite::Hit => hit::run(&context).await,
        Suite::Miss => miss::run(&context).await,
        Suite::Off => off::run(&context).await,
        Suite::Herd => herd::run(&context).await,
        Suite::Memory => memory::run(&context).await,
        Suite::Mixed => mixed::run(&context).await,
        Suite::Redis => redis::run(&context).await,
        Suite::Keyset => keyset::run(&context).await,
        Suite::NPlusOne => n_plus_one::run(&context).await,
    }
}
