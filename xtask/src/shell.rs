//! Runs commands: echoed before, ended by Ctrl-C, and explained when they fail.

use std::{
    env,
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicI32, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use indicatif::ProgressBar;
use rustix::process::{Pid, Signal, kill_process_group};

/// A command to be run, with what a person can do if it fails.
#[derive(Debug)]
pub(crate) struct Step {
    command: Command,
    mend: Option<String>,
    limit: Option<Duration>,
}

/// A signal asked the task to end.
#[derive(Debug)]
pub(crate) struct Interrupted;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process group of the running command, zero if there is none.
static RUNNING: AtomicI32 = AtomicI32::new(0);
static WAKE: OnceLock<mpsc::Sender<Wake>> = OnceLock::new();

/// Why [`wait_for_interrupt`] returns.
enum Wake {
    Interrupt,
    EndOfInput,
}

/// `cargo` with arguments.
pub(crate) fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Step {
    Step::new("cargo", arguments)
}

/// Another program.
pub(crate) fn program(name: &str) -> Step {
    Step::new(name, [""; 0])
}

impl Step {
    fn new<I: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = I>) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        // Cargo sets these for us. Passed on, they make build scripts that look at them (ring's
        // does) run again whenever a task and a plain cargo command take turns.
        for (name, _) in env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        // Its own process group, so that an interrupt can end it with all its children.
        command.process_group(0);
        Self { command, mend: None, limit: None }
    }

    pub(crate) fn args<I: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = I>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// The command that mends a failure.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// How long a command that is run quietly may take; then it is killed with all its children.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the command with its output on the terminal.
    pub(crate) fn run(mut self) -> Result<()> {
        self.echo();
        let child = self.spawn()?;
        let status = wait(child)?;
        self.judge(status)
    }

    /// Runs the command and shows each line of its standard output to `look` before printing it.
    pub(crate) fn run_looking(mut self, mut look: impl FnMut(&str)) -> Result<()> {
        self.echo();
        self.command.stdout(Stdio::piped());
        let mut child = self.spawn()?;
        let output = child.stdout.take().context("the output is piped")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cannot read the command's output")?;
            let line = String::from_utf8_lossy(&line);
            look(&line);
            println!("{line}");
        }
        let status = wait(child)?;
        self.judge(status)
    }

    /// Runs the command without a trace and returns whether it succeeded, and all its output.
    pub(crate) fn run_quietly(mut self) -> Result<(bool, String)> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn()?;
        let watch = self.limit.map(|limit| Watch::of(&child, limit));
        let output = child.wait_with_output().context("cannot wait for the command");
        forget_running();
        let killed = watch.is_some_and(Watch::end);
        let output = output?;
        check_interrupted()?;
        if let Some(limit) = self.limit.filter(|_| killed) {
            bail!("`{self}` did not end within {:.0} s and was killed", limit.as_secs_f64());
        }
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Prints the command as one would type it.
    pub(crate) fn echo(&self) {
        eprintln!("$ {self}");
    }

    fn spawn(&mut self) -> Result<Child> {
        check_interrupted()?;
        let child = self.command.spawn().with_context(|| format!("cannot run `{self}`"))?;
        // OK because process ids are positive and fit.
        RUNNING.store(i32::try_from(child.id()).expect("a process id"), Ordering::SeqCst);
        // The signal may have come between the check above and the store.
        if INTERRUPTED.load(Ordering::SeqCst) {
            end_running(Signal::INT);
        }
        Ok(child)
    }

    fn judge(&self, status: ExitStatus) -> Result<()> {
        check_interrupted()?;
        if status.success() {
            return Ok(());
        }
        match &self.mend {
            Some(mend) => bail!("`{self}` failed ({status}); {mend}"),
            None => bail!("`{self}` failed ({status})"),
        }
    }
}

/// A thread that kills a command when its time is over.
struct Watch {
    ended: mpsc::Sender<()>,
    killed: thread::JoinHandle<bool>,
}

impl Watch {
    fn of(child: &Child, limit: Duration) -> Self {
        // OK because process ids are positive and fit.
        let group = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
        let (ended, end) = mpsc::channel();
        let killed = thread::spawn(move || {
            let late = end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if let Some(group) = group.filter(|_| late) {
                // OK because it fails only for a group that has ended already.
                let _ = kill_process_group(group, Signal::KILL);
            }
            late
        });
        Self { ended, killed }
    }

    /// Whether the command was killed.
    fn end(self) -> bool {
        drop(self.ended);
        self.killed.join().unwrap_or_default()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                write!(f, "{}={} ", name.display(), quote(&value.to_string_lossy()))?;
            }
        }
        write!(f, "{}", self.command.get_program().display())?;
        self.command
            .get_args()
            .try_for_each(|argument| write!(f, " {}", quote(&argument.to_string_lossy())))
    }
}

/// Lets Ctrl-C, SIGTERM and SIGHUP end the running command and then the task, so that destructors
/// run. A second one kills the command.
pub(crate) fn handle_interrupts() -> Result<()> {
    ctrlc::set_handler(|| {
        let again = INTERRUPTED.swap(true, Ordering::SeqCst);
        end_running(if again { Signal::KILL } else { Signal::INT });
        if let Some(wake) = WAKE.get() {
            // OK because nobody waits any more if the receiver is gone.
            let _ = wake.send(Wake::Interrupt);
        }
    })
    .context("cannot handle Ctrl-C")
}

/// Fails with [`Interrupted`] if a signal has asked the task to end.
pub(crate) fn check_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Interrupted.into()) } else { Ok(()) }
}

/// Waits until a signal asks the task to end, which is [`Interrupted`], or, if asked to, until the
/// standard input ends, which is `Ok`.
pub(crate) fn wait_for_interrupt(or_end_of_input: bool) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    if or_end_of_input {
        let sender = sender.clone();
        thread::spawn(move || {
            // An unreadable input is an ended one.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = sender.send(Wake::EndOfInput);
        });
    }
    WAKE.get_or_init(|| sender);
    // The signal may have come before the handler knew whom to wake.
    check_interrupted()?;
    match receiver.recv() {
        Ok(Wake::EndOfInput) => Ok(()),
        Ok(Wake::Interrupt) | Err(_) => Err(Interrupted.into()),
    }
}

/// A spinner with a message for something that takes a while; a plain line where there is no
/// terminal.
pub(crate) fn spinner(message: impl Into<String>) -> ProgressBar {
    let message = message.into();
    let spinner = ProgressBar::new_spinner();
    if spinner.is_hidden() {
        eprintln!("{message} …");
    }
    spinner.set_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn wait(mut child: Child) -> Result<ExitStatus> {
    let status = child.wait().context("cannot wait for the command");
    forget_running();
    status
}

fn forget_running() {
    RUNNING.store(0, Ordering::SeqCst);
}

fn end_running(signal: Signal) {
    if let Some(group) = Pid::from_raw(RUNNING.load(Ordering::SeqCst)) {
        // OK because it fails only for a group that has ended already.
        let _ = kill_process_group(group, signal);
    }
}

/// An argument as one would type it into a shell, without the password if it is a URL: what a task
/// prints ends in logs that many people read.
fn quote(argument: &str) -> String {
    let argument = &without_password(argument);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

fn without_password(argument: &str) -> String {
    let url = || {
        let (scheme, rest) = argument.split_once("://")?;
        let (credentials, host) = rest.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    };
    url().unwrap_or_else(|| argument.to_owned())
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_one_would_type_them() {
        let step = cargo(["run", "--label", "private PostgreSQL"]).env("A", "it's");
        assert_eq!(step.to_string(), r"A='it'\''s' cargo run --label 'private PostgreSQL'");
    }

    #[test]
    fn passwords_are_not_shown() {
        let step = cargo(["--url", "postgres://me:secret@host/db", "postgres://me@host/db"]);
        assert_eq!(
            step.to_string(),
            "cargo --url 'postgres://me:***@host/db' postgres://me@host/db"
        );
    }

    #[test]
    fn a_command_without_an_end_is_killed_with_its_children() {
        // The output stays open as long as either of them lives.
        let step = program("sh").args(["-c", "tail -f /dev/null & wait"]);
        let error = step.within(Duration::from_millis(50)).run_quietly().unwrap_err().to_string();
        assert!(error.ends_with("did not end within 0 s and was killed"), "{error}");
    }

    #[test]
    fn a_command_that_ends_in_time_is_not_killed() {
        let step = program("sh").args(["-c", "echo done"]).within(Duration::from_secs(60));
        assert_eq!(step.run_quietly().unwrap(), (true, "done\n".to_owned()));
    }

    #[test]
    fn a_failure_names_what_mends_it() {
        let step = cargo(["--no-such-option"]).mend("mend it with `cargo help`");
        let error = step.run().unwrap_err().to_string();
        assert!(error.contains("`cargo --no-such-option` failed"), "{error}");
        assert!(error.contains("mend it with `cargo help`"), "{error}");
    }
}
