//! `cargo xtask test`: every test on private servers, with a summary.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Args;

use crate::{
    newest,
    servers::{self, Server},
    shell,
};

/// The environment variable in which the tests find their server; the test kit reads it.
const POSTGRES_VARIABLE: &str = "TURBODIESEL_TEST_POSTGRES";
/// The one in which they find the programs for servers of their own.
const PROGRAMS_VARIABLE: &str = "PG_BIN";

/// The tests whose subject depends on what the newest PostgreSQL tells of a write.
const OF_THE_NEWEST: [&str; 2] = ["exactness", "differential::on_postgres"];

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Only the tests of this crate; may be repeated
    #[arg(short, long, value_name = "CRATE")]
    package: Vec<String>,

    /// Run on the PostgreSQL whose programs `initdb` and `postgres` are in this folder
    #[arg(long, value_name = "DIR")]
    postgres_bin: Option<PathBuf>,

    /// Unit and integration tests without doctests
    #[arg(long)]
    fast: bool,

    /// Options of the test binaries, after `--`
    #[arg(last = true, value_name = "TEST OPTIONS")]
    options: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    // Tests start Redis servers of their own.
    servers::provide_redis()?;
    let server = servers::postgres(options.postgres_bin.as_deref())?;
    let mut summary = Summary::default();
    let step = on(tests(options), &server, options.postgres_bin.as_deref());
    let tested = summary.of(step);
    let newest = if options.is_everything() { test_newest(&server) } else { Ok(()) };
    tested.and(newest)?;
    match &options.filter {
        Some(filter) if summary.passed == 0 => bail!("no test has a name with `{filter}`"),
        _ => Ok(()),
    }
}

impl Options {
    /// Whether nothing was left out.
    fn is_everything(&self) -> bool {
        let Self { filter, package, postgres_bin: _, fast, options } = self;
        filter.is_none() && package.is_empty() && !fast && options.is_empty()
    }
}

/// A step that finds this server, and where they were asked for these programs.
fn on(step: shell::Step, server: &Server, programs: Option<&Path>) -> shell::Step {
    let step = step.env(POSTGRES_VARIABLE, &server.url());
    match programs {
        Some(programs) => step.env(PROGRAMS_VARIABLE, &programs.to_string_lossy()),
        None => step,
    }
}

/// The tests that depend on the newest PostgreSQL, on that one. Where it cannot be had, says so.
fn test_newest(tested: &Server) -> Result<()> {
    if tested.major_version().is_some_and(|version| version >= newest::MAJOR_VERSION) {
        return Ok(());
    }
    let had = newest::postgres(tested).and_then(|programs| {
        let server = servers::postgres(Some(&programs))?;
        Ok((programs, server))
    });
    let (programs, server) = match had {
        Ok(had) => had,
        Err(error) if error.is::<shell::Interrupted>() => return Err(error),
        Err(error) => {
            eprintln!(
                "not tested on PostgreSQL {}, which tells what rows were before a write: {error:#}",
                newest::MAJOR_VERSION
            );
            return Ok(());
        }
    };
    // All of the workspace, as above: of fewer packages Cargo would build some anew.
    let step = shell::cargo(["test", "--workspace", "--all-features", "--test", "integration"])
        .args(["--"])
        .args(OF_THE_NEWEST)
        // The differential test has made its many writes on the other server.
        .env("TURBODIESEL_WRITES", "1500");
    Summary::default().of(on(step, &server, Some(&programs)))
}

fn tests(options: &Options) -> shell::Step {
    // All of them, even if some fail: one run shows everything there is to mend.
    let mut step = shell::cargo(["test", "--all-features", "--no-fail-fast"]);
    if options.package.is_empty() {
        step = step.args(["--workspace"]);
    }
    for package in &options.package {
        step = step.args(["--package", package]);
    }
    if options.fast {
        step = step.args(["--lib", "--bins", "--tests"]);
    }
    step = step.args(&options.filter);
    if options.options.is_empty() { step } else { step.args(["--"]).args(&options.options) }
}

/// The results of all test binaries together.
#[derive(Debug, Default)]
struct Summary {
    binaries: usize,
    passed: usize,
    failed: usize,
    ignored: usize,
    failures: Vec<String>,
}

impl Summary {
    /// Runs tests, and prints what came out.
    fn of(&mut self, step: shell::Step) -> Result<()> {
        let start = Instant::now();
        let tested = step
            .mend("run a failed test alone with `cargo xtask test --filter NAME -- --nocapture`")
            .run_looking(|line| self.look(line));
        println!("\n{}", self.text(start.elapsed()));
        tested
    }

    /// Reads a line that a test binary prints.
    fn look(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        // "test result: ok. 6 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; …"
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|line| line.split_once(". "))
        else {
            return;
        };
        self.binaries += 1;
        for count in counts.split("; ") {
            match count.split_once(' ').map(|(number, what)| (number.parse(), what)) {
                Some((Ok::<usize, _>(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }

    fn text(&self, took: Duration) -> String {
        let mut text = format!(
            "{} passed, {} failed, {} ignored in {} test binaries, {:.0} s",
            self.passed,
            self.failed,
            self.ignored,
            self.binaries,
            took.as_secs_f64()
        );
        for failure in &self.failures {
            text.push_str(&format!("\n  failed: {failure}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_binaries_add_up() {
        let mut summary = Summary::default();
        for line in [
            "test kit::works ... ok",
            "test kit::does_not ... FAILED",
            "test result: FAILED. 5 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 0.00s",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            summary.look(line);
        }
        let expected =
            "8 passed, 1 failed, 2 ignored in 2 test binaries, 4 s\n  failed: kit::does_not";
        assert_eq!(summary.text(Duration::from_secs(4)), expected);
    }
}
