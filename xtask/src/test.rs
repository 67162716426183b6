//! `cargo xtask test`: every test on private servers, with a summary.

use std::{
    env,
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
/// The one that says how many writes the differential test makes.
const WRITES_VARIABLE: &str = "TURBODIESEL_WRITES";

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

    /// Also run what depends on PostgreSQL 18 on that one if other tests are left out, and fail where
    /// it cannot be had
    #[arg(long)]
    require_newest: bool,

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
    // After Ctrl-C nothing more is begun.
    shell::check_interrupted()?;
    let newest = test_newest(options, &server);
    // Nor is it a failure of the tests before.
    shell::check_interrupted()?;
    tested.and(newest)?;
    match &options.filter {
        Some(filter) if summary.passed == 0 => bail!("no test has a name with `{filter}`"),
        _ => Ok(()),
    }
}

impl Options {
    /// Whether nothing was left out.
    fn is_everything(&self) -> bool {
        let Self { filter, package, postgres_bin: _, fast, require_newest: _, options } = self;
        filter.is_none() && package.is_empty() && !fast && options.is_empty()
    }

    /// Whether the newest PostgreSQL remains to be tested on after a server of this version.
    fn asks_for_newest(&self, tested: Option<u32>) -> bool {
        let is_newest = tested.is_some_and(|version| version >= newest::MAJOR_VERSION);
        if self.is_everything() { !is_newest } else { self.require_newest }
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

/// The tests that depend on the newest PostgreSQL, on that one, unless they were among those on the
/// tested server. Where it cannot be had, says so or fails.
fn test_newest(options: &Options, tested: &Server) -> Result<()> {
    if !options.asks_for_newest(tested.major_version()) {
        return Ok(());
    }
    let had = newest::postgres(tested).and_then(|programs| {
        let server = servers::postgres(Some(&programs))?;
        Ok((programs, server))
    });
    let (programs, server) = match had {
        Ok(had) => had,
        Err(error) => {
            shell::check_interrupted()?;
            return untested(&error, options.require_newest);
        }
    };
    // All of the workspace, as above: of fewer packages Cargo would build some anew.
    let step = shell::cargo(["test", "--workspace", "--all-features", "--test", "integration"])
        .args(["--"])
        .args(OF_THE_NEWEST);
    let step = match env::var_os(WRITES_VARIABLE) {
        Some(_) => step,
        // The differential test has made its many writes on the other server.
        None => step.env(WRITES_VARIABLE, "1500"),
    };
    let mut summary = Summary::default();
    summary.of(on(step, &server, Some(&programs)))?;
    if summary.passed == 0 {
        bail!("none of the tests for PostgreSQL {} was found", newest::MAJOR_VERSION);
    }
    Ok(())
}

/// Says as the last line of the summary why the newest PostgreSQL was not tested on.
fn untested(why: &anyhow::Error, required: bool) -> Result<()> {
    let version = newest::MAJOR_VERSION;
    let text = format!("{why:#}");
    let (line, details) = text.split_once('\n').unwrap_or((&text, ""));
    if !details.is_empty() {
        eprintln!("{details}");
    }
    println!(
        "not tested on PostgreSQL {version}, which tells what rows were before a write: {line}"
    );
    if required {
        bail!("the tests on PostgreSQL {version} are required, and were not run");
    }
    Ok(())
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

    fn options(arguments: &[&str]) -> Options {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let line = [&["test"][..], arguments].concat();
        <Line as clap::Parser>::parse_from(line).options
    }

    #[test]
    fn the_newest_is_tested_on_with_everything_and_where_it_is_required() {
        assert!(options(&[]).asks_for_newest(Some(15)));
        assert!(options(&[]).asks_for_newest(None));
        assert!(!options(&["--filter", "commit"]).asks_for_newest(Some(15)));
        assert!(options(&["--filter", "commit", "--require-newest"]).asks_for_newest(Some(15)));
    }

    #[test]
    fn what_was_tested_on_the_newest_is_not_tested_on_it_again() {
        assert!(!options(&[]).asks_for_newest(Some(18)));
        assert!(!options(&["--require-newest"]).asks_for_newest(Some(19)));
        // Other tests may have been chosen than those that depend on it.
        assert!(options(&["--fast", "--require-newest"]).asks_for_newest(Some(18)));
    }

    #[test]
    fn an_untested_version_is_an_error_only_where_it_is_required() {
        let why = anyhow::anyhow!("npm could not fetch it\nits output");
        untested(&why, false).unwrap();
        let error = untested(&why, true).unwrap_err().to_string();
        assert_eq!(error, "the tests on PostgreSQL 18 are required, and were not run");
    }

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
