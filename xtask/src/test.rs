//! `cargo xtask test`: every test on private servers, with a summary.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::{servers, shell};

/// The environment variable in which the tests find their server; the test kit reads it.
const POSTGRES_VARIABLE: &str = "TURBODIESEL_TEST_POSTGRES";

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Only the tests of this crate; may be repeated
    #[arg(short, long, value_name = "CRATE")]
    package: Vec<String>,

    /// Unit and integration tests without doctests
    #[arg(long)]
    fast: bool,

    /// Options of the test binaries, after `--`
    #[arg(last = true, value_name = "TEST OPTIONS")]
    options: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let server = servers::postgres()?;
    let start = Instant::now();
    let mut summary = Summary::default();
    let tested = tests(options)
        .env(POSTGRES_VARIABLE, &server.url())
        .mend("run a failed test alone with `cargo xtask test --filter NAME -- --nocapture`")
        .run_looking(|line| summary.look(line));
    println!("\n{}", summary.text(start.elapsed()));
    tested?;
    match &options.filter {
        Some(filter) if summary.passed == 0 => bail!("no test has a name with `{filter}`"),
        _ => Ok(()),
    }
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
