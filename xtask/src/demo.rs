//! `cargo xtask demo`: the demo application on embedded SQLite or on PostgreSQL.

use anyhow::Result;
use clap::Args;

use crate::{servers, shell};

#[derive(Args, Debug)]
#[command(after_help = "\
The demo's own options are passed on, among them:
  --database-url URL   any PostgreSQL server; the demo works in a schema of its own
  --duration SECONDS   how long each of the two runs
  --seed N, --rows N   which data, and how much of it
  --json PATH          the figures for a program
  --plant-fault        breaks invalidation on purpose: the wrong answers must be found
  -- --help            all of them")]
pub(crate) struct Options {
    /// Run on the PostgreSQL server of DATABASE_URL, or else on a private one
    #[arg(long)]
    postgres: bool,

    /// Options of the demo
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "DEMO OPTIONS")]
    options: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    // After the first option of the demo, clap takes ours for one of the demo's too.
    let (ours, passed): (Vec<_>, Vec<_>) =
        options.options.iter().cloned().partition(|option| option == "--postgres");
    let server =
        if options.postgres || !ours.is_empty() { Some(servers::postgres(None)?) } else { None };

    let mut step = shell::cargo(["run", "--release", "--package", "turbodiesel-demo", "--"])
        .mend("`cargo xtask demo -- --help` lists the options of the demo");
    if let Some(server) = &server {
        step = step.args(["--database-url", &server.url(), "--label", &server.label()]);
    }
    step.args(passed).run()
}
