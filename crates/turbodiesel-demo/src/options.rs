//! The command line.

use std::path::PathBuf;

use clap::{Parser, builder::RangedU64ValueParser};

/// A small manufacturing service, driven first through plain diesel-async and then through
/// turbodiesel.
///
/// Both run the same Diesel queries over the same data for the same stream of requests: look-ups of
/// products and orders, lists, dashboards, and one request in ten that writes. The result is one
/// table, and a check: answers of turbodiesel are compared with what the database says at that
/// moment, and none may differ.
///
/// Without options it runs on a SQLite file in the temporary folder, in less than a minute.
/// `cargo xtask demo --postgres` runs it on a private PostgreSQL.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "turbodiesel-demo",
    version,
    verbatim_doc_comment,
    after_help = "\
Ctrl-C ends the demo at any time; what it made is removed.

Exit code: 0 if no answer was wrong and no request failed, else 1. With --plant-fault it is the
other way round: 0 only if wrong answers were found."
)]
pub struct Options {
    /// A PostgreSQL server to run on, instead of SQLite
    ///
    /// The demo works in a schema of its own, `turbodiesel_demo_<process id>`, which it drops at
    /// the end, so the user needs the right to create one. Neither contender encrypts its
    /// connections: `sslmode=disable` is added.
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,

    /// What the report calls the database
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    /// How long each of the two is measured, after a warm-up of a fifth of that
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3600))]
    pub duration: u64,

    /// Determines the data and every request
    #[arg(long, value_name = "NUMBER", default_value_t = 42)]
    pub seed: u64,

    /// About how many rows, in all tables together
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = RangedU64ValueParser::<usize>::new().range(1_000..=20_000_000))]
    pub rows: usize,

    /// How many clients ask at the same time; each of the two pools has as many connections
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = RangedU64ValueParser::<u32>::new().range(1..=256))]
    pub clients: u32,

    /// Writes all figures to a file
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Proves that the check can fail: writes go around turbodiesel, so that stale answers must be
    /// found
    #[arg(long)]
    pub plant_fault: bool,
}
