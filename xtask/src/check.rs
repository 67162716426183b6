//! `cargo xtask check`: everything that a machine can say about the code without running it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;
use clap::Args;

use crate::shell::{self, Interrupted, cargo};

mod deny;
mod layering;
mod tidy;

#[derive(Args, Debug)]
#[command(after_help = "\
Checks:
  layering     no crate depends on a sibling or on a higher layer (xtask/src/check/layering.rs)
  tidy         every file says what it is, no test is ignored, no path of this machine
  format       cargo fmt
  lints        cargo clippy, warnings denied
  docs         cargo doc, warnings denied
  deny         cargo-deny: bans, licences, sources; installed if it is missing
  advisories   cargo-deny: known vulnerabilities, where their database can be reached")]
pub(crate) struct Options {
    /// Without docs and cargo-deny
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let metadata = MetadataCommand::new().exec().context("cannot read `cargo metadata`")?;
    let root = metadata.workspace_root.as_std_path();

    let mut checks = Checks::new(if options.fast { 4 } else { 7 });
    checks.run("layering", || layering::check(&metadata))?;
    checks.run("tidy", || tidy::check(root))?;
    checks.run("format", || {
        cargo(["fmt", "--all", "--check"]).mend("mend it with `cargo fmt --all`").run()
    })?;
    checks.run("lints", || {
        const CLIPPY: [&str; 4] = ["clippy", "--workspace", "--all-targets", "--all-features"];
        cargo(CLIPPY)
            .args(["--", "--deny", "warnings"])
            .mend(format!("`cargo {} --fix` mends some of it", CLIPPY.join(" ")))
            .run()
    })?;
    if !options.fast {
        checks.run("docs", || {
            cargo(["doc", "--workspace", "--no-deps", "--all-features"])
                .env("RUSTDOCFLAGS", "--deny warnings")
                .mend("correct the comments that rustdoc names")
                .run()
        })?;
        checks.run("deny", deny::rules)?;
        checks.run("advisories", deny::advisories)?;
    }
    checks.finish()
}

/// The checks so far, with the time that each took and how it ended.
#[derive(Debug)]
struct Checks {
    total: usize,
    done: Vec<(&'static str, Duration, Option<anyhow::Error>)>,
}

impl Checks {
    fn new(total: usize) -> Self {
        Self { total, done: Vec::new() }
    }

    /// Runs a check and keeps its failure for the end. Only an interrupt is returned.
    fn run(&mut self, name: &'static str, check: impl FnOnce() -> Result<()>) -> Result<()> {
        shell::check_interrupted()?;
        eprintln!("\n[{}/{}] {name}", self.done.len() + 1, self.total);
        let start = Instant::now();
        let failure = check().err();
        match failure {
            Some(error) if error.is::<Interrupted>() => return Err(error),
            Some(ref error) => eprintln!("{error:#}"),
            None => {}
        }
        self.done.push((name, start.elapsed(), failure));
        Ok(())
    }

    fn finish(self) -> Result<()> {
        eprintln!();
        for (name, took, failure) in &self.done {
            let verdict = if failure.is_none() { "ok" } else { "FAILED" };
            eprintln!("{name:<12} {verdict:<7} {:>6.1} s", took.as_secs_f64());
        }
        let failures: Vec<String> = self
            .done
            .iter()
            .filter_map(|(name, _, failure)| Some(format!("{name}: {:#}", failure.as_ref()?)))
            .collect();
        if failures.is_empty() {
            return Ok(());
        }
        bail!(
            "{} of {} checks failed\n\n{}",
            failures.len(),
            self.done.len(),
            failures.join("\n\n")
        )
    }
}
