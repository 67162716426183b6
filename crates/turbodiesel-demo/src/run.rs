//! A whole demo: data, one contender, data again, the other contender, report.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use crate::{
    contender::{Contender, Faulty},
    data::{Data, Sizes},
    drive::{self, Load, Run},
    options::Options,
    place::Place,
    postgres::PostgresPlace,
    progress::Progress,
    report::{Facts, Machine, Report},
    sqlite::SqlitePlace,
};

/// Runs the demo, which takes about two and a half times [`Options::duration`], and writes the
/// figures to [`Options::json`].
///
/// # Errors
///
/// [`Interrupted`](crate::Interrupted) if the token is cancelled; else if the database cannot be
/// reached or refuses, or the figures cannot be written. Failed requests are no error but part of
/// the report.
pub async fn run(options: &Options, interrupt: &CancellationToken) -> Result<Report> {
    let label = options.label.as_deref();
    let report = match &options.database_url {
        Some(url) => {
            run_at(PostgresPlace::new(url, label).await?, true, options, interrupt).await?
        }
        None => run_at(SqlitePlace::new(label)?, false, options, interrupt).await?,
    };
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, json + "\n")
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(report)
}

/// Runs the demo at a place and removes the place, however the run ended.
async fn run_at<P: Place>(
    mut place: P,
    is_server: bool,
    options: &Options,
    interrupt: &CancellationToken,
) -> Result<Report> {
    let report = compare(&mut place, is_server, options, interrupt).await;
    let removed = place.remove().await;
    let report = report?;
    removed?;
    Ok(report)
}

async fn compare<P: Place>(
    place: &mut P,
    is_server: bool,
    options: &Options,
    interrupt: &CancellationToken,
) -> Result<Report> {
    let sizes = Sizes::of(options.rows);
    let data = Arc::new(Data::new(options.seed, sizes));
    let load = Load {
        seed: options.seed,
        sizes,
        clients: options.clients,
        duration: Duration::from_secs(options.duration),
    };
    let connections = options.clients;

    reset(place, &data, interrupt).await?;
    let contender = place.plain(connections).await?;
    let plain = measure("diesel-async", contender, load, false, interrupt).await?;

    reset(place, &data, interrupt).await?;
    let contender = place.turbodiesel(connections).await?;
    let turbodiesel = if options.plant_fault {
        let contender = Faulty { turbodiesel: contender, around: place.plain(connections).await? };
        measure("turbodiesel, with a fault", contender, load, true, interrupt).await?
    } else {
        measure("turbodiesel", contender, load, true, interrupt).await?
    };

    let facts = Facts {
        database: place.describe().to_owned(),
        is_server,
        seed: options.seed,
        rows: data.rows(),
        clients: options.clients,
        duration_seconds: options.duration,
        fault_planted: options.plant_fault,
        machine: Machine::this(),
    };
    Ok(Report::new(facts, &plain, &turbodiesel))
}

async fn reset<P: Place>(
    place: &mut P,
    data: &Arc<Data>,
    interrupt: &CancellationToken,
) -> Result<()> {
    let progress = Progress::new("loading the data", data.rows() as u64);
    place.reset(data, &progress, interrupt).await.context("cannot load the data")
}

/// Measures a contender and ends it, however that went.
async fn measure<C: Contender>(
    name: &str,
    contender: C,
    load: Load,
    audited: bool,
    interrupt: &CancellationToken,
) -> Result<Run> {
    let run = drive::run(name, &contender, load, audited, interrupt).await;
    let closed = contender.close().await;
    let run = run?;
    closed?;
    Ok(run)
}
