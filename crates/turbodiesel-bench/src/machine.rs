//! Where the benchmarks ran: figures mean little without it.

use std::{fs, process::Command};

use anyhow::Result;
use diesel::{QueryableByName, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

use crate::Context;

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    server_version: String,
}

/// The machine and the programs, one per line.
pub(crate) async fn facts(context: &Context) -> Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut connection = AsyncPgConnection::establish(&context.server_url).await?;
    let version: Version =
        diesel::sql_query("SHOW server_version").get_result(&mut connection).await?;
    Ok(format!(
        "CPU         {} ({cores} cores)\nload        {}\nPostgreSQL  {}\nRust        {}",
        cpu().as_deref().unwrap_or("unknown"),
        load().as_deref().unwrap_or("unknown"),
        version.server_version,
        rustc().as_deref().unwrap_or("unknown"),
    ))
}

fn cpu() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// How busy the machine was before: on a busy one, only ratios mean something.
fn load() -> Option<String> {
    let averages = fs::read_to_string("/proc/loadavg").ok()?;
    Some(format!("{} in the last minute", averages.split_whitespace().next()?))
}

fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
