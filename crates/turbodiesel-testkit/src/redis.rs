//! A private Redis server that disappears with its owner, and can be killed and started again.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Error, ServerTls, place,
    postgres::{free_port, random},
    programs,
};

/// The shell program that makes the folder, runs the server and removes both.
const WATCHDOG: &str = include_str!("redis.sh");

/// How long a server may take until it answers; usual are some milliseconds.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long an answer may take. A server that loads its data or is stopped gives none.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// How often one looks whether another process has done what is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// How often a port that somebody else took in the meantime is replaced by another one.
const PORT_ATTEMPTS: usize = 5;

/// How a private server differs from the default one.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Settings as in `redis.conf`; they win over those of the kit. Defaults to none.
    pub settings: Vec<(String, String)>,
    /// Accepts TLS connections with this identity, and no others. Defaults to none.
    pub tls: Option<ServerTls>,
}

/// A running private server, on a free port of 127.0.0.1 and with a random password. Dropping it
/// ends the server and removes its folder.
#[derive(Debug)]
pub struct Redis {
    watchdog: Child,
    process_ids: BufReader<ChildStdout>,
    process: Pid,
    folder: PathBuf,
    port: u16,
    password: String,
    tls: bool,
    version: String,
}

impl Redis {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Errors
    ///
    /// [`Error::is_not_installed`] if the machine has no Redis, [`Error::is_server`] if it does not
    /// start.
    pub fn start() -> Result<Self, Error> {
        Self::with(RedisOptions::default())
    }

    /// Starts a server with options.
    ///
    /// # Errors
    ///
    /// As for [`Redis::start`]; a setting that Redis refuses is [`Error::is_server`].
    pub fn with(options: RedisOptions) -> Result<Self, Error> {
        Self::launch(&options, &new_password(), &[])
    }

    /// Starts a server that shares a password with others, with arguments behind its file.
    pub(crate) fn launch(
        options: &RedisOptions,
        password: &str,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        let program = programs::redis()?;
        let version = programs::redis_version(&program)?;
        // Redis cannot pick a free port itself, so the chosen one may be gone when it starts.
        let mut attempt = 1;
        loop {
            let port = free_port()?;
            match Self::launch_at(&program, &version, options, (port, password), arguments) {
                Err(error) if port_is_taken(&error) && attempt < PORT_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn launch_at(
        program: &Path,
        version: &str,
        options: &RedisOptions,
        (port, password): (u16, &str),
        arguments: &[&str],
    ) -> Result<Self, Error> {
        let user = if programs::is_root() { Some(place::unprivileged_user()?) } else { None };
        let folder = place::new_folder_name(false, user);

        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "turbodiesel-testkit"]).arg(&folder).arg(program);
        command.args(arguments);
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command.env("TESTKIT_CONFIGURATION", configuration(options, &folder, port, password));
        if let Some(tls) = &options.tls {
            command.env("TESTKIT_TLS_CERTIFICATE", &tls.certificate);
            command.env("TESTKIT_TLS_KEY", &tls.key);
        }
        if let Some(place::User { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        // Its own process group, so that Ctrl-C in the terminal reaches only us; and a folder that
        // every user can enter, since the unprivileged one may not stay in ours.
        command.process_group(0).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watchdog =
            command.spawn().map_err(|error| Error::io("cannot start /bin/sh", error))?;
        // OK because it was piped above, and is taken nowhere else.
        let stdout = watchdog.stdout.take().expect("the output is a pipe");

        let mut server = Self {
            watchdog,
            process_ids: BufReader::new(stdout),
            process: Pid::INIT,
            folder,
            port,
            password: password.to_owned(),
            tls: options.tls.is_some(),
            version: version.to_owned(),
        };
        server.run()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// The URL of the server, `redis://:password@127.0.0.1:port/`, or `rediss://` with
    /// [`RedisOptions::tls`].
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://:{}@127.0.0.1:{}/", self.password, self.port)
    }

    /// The port of 127.0.0.1. It stays the same when the server is started again.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the user `default`.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The folder of the server's files and its log. It disappears with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version of the server, such as `7.0.15`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The process that is the server.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.process.as_raw_nonzero().get()
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Sends a command over the Unix socket and waits for its answer as text, the elements of an
    /// array one per line.
    ///
    /// # Errors
    ///
    /// [`Error::is_database`] if the server does not answer, or answers with an error.
    pub fn command<A: AsRef<[u8]>>(&self, words: &[A]) -> Result<String, Error> {
        let lost = |error| Error::database("Redis does not answer", error);
        let mut stream = UnixStream::connect(self.folder.join("redis.sock")).map_err(lost)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE)).map_err(lost)?;
        let mut request = encode(&[b"AUTH", self.password.as_bytes()]);
        request.extend(encode(words));
        stream.write_all(&request).map_err(lost)?;
        let mut answers = BufReader::new(stream);
        read_answer(&mut answers)?;
        read_answer(&mut answers)
    }

    /// Kills the server with SIGKILL and waits until it is gone. Its folder stays.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        wait_until(START_DEADLINE, || !self.folder.join("running").exists());
    }

    /// Starts the server again after [`kill`](Self::kill), at the same port, and waits until it
    /// answers.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`] if it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.run()?;
        self.wait_until_ready()
    }

    /// Stops the server with SIGSTOP: its connections stay open and nobody answers.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a server go on that was stopped by [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the server and waits until it and its folder are gone, as `Drop` does.
    ///
    /// # Errors
    ///
    /// [`Error::is_server`] if the folder could not be removed.
    pub fn stop(mut self) -> Result<(), Error> {
        self.end();
        if self.folder.exists() {
            return Err(Error::server(format!(
                "the folder of a stopped server is still there; remove it with `rm -rf {}`",
                self.folder.display()
            )));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // A server that is gone already needs no signal.
        let _ = kill_process(self.process, signal);
    }

    /// Tells the watchdog to run the server, and learns its process id.
    fn run(&mut self) -> Result<(), Error> {
        let unheard = |error| Error::io("the watchdog of the Redis server is gone", error);
        // OK because only `end` takes it, which is the last thing that happens.
        let lifeline = self.watchdog.stdin.as_mut().expect("the lifeline is held");
        lifeline.write_all(b"start\n").map_err(unheard)?;
        let mut line = String::new();
        self.process_ids.read_line(&mut line).map_err(unheard)?;
        self.process = line
            .trim()
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Error::server("the Redis server could not be started"))?;
        Ok(())
    }

    /// Returns when the server answers, or why it does not.
    fn wait_until_ready(&self) -> Result<(), Error> {
        let mut answer = Ok(String::new());
        wait_until(START_DEADLINE, || {
            answer = self.command(&["PING"]);
            answer.is_ok() || !self.folder.join("running").exists()
        });
        answer
            .map(|_| ())
            .map_err(|_| Error::server(format!("Redis did not start:\n{}", self.log().trim())))
    }

    /// Lets go of the lifeline and waits for the watchdog. Doing it twice does no harm.
    fn end(&mut self) {
        drop(self.watchdog.stdin.take());
        // OK because the only failure is that the watchdog was waited for already.
        let _ = self.watchdog.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

/// A password that nobody guesses.
pub(crate) fn new_password() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// Waits for something that another process does, and tells whether it came.
#[expect(clippy::disallowed_methods, reason = "a condition with a deadline, in another process")]
pub(crate) fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// All settings in the order in which Redis reads them: the last one of a name wins.
fn configuration(options: &RedisOptions, folder: &Path, port: u16, password: &str) -> String {
    let folder = folder.display();
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        format!("dir {folder}"),
        format!("unixsocket {folder}/redis.sock"),
        format!("requirepass {password}"),
        format!("masterauth {password}"),
        "save \"\"".to_owned(),
        "appendonly no".to_owned(),
    ];
    if options.tls.is_some() {
        lines.extend([
            "port 0".to_owned(),
            format!("tls-port {port}"),
            format!("tls-cert-file {folder}/server.crt"),
            format!("tls-key-file {folder}/server.key"),
            format!("tls-ca-cert-file {folder}/server.crt"),
            "tls-auth-clients no".to_owned(),
        ]);
    } else {
        lines.push(format!("port {port}"));
    }
    lines.extend(options.settings.iter().map(|(name, value)| format!("{name} {value}")));
    lines.join("\n")
}

fn port_is_taken(error: &Error) -> bool {
    error.is_server() && error.to_string().contains("Address already in use")
}

/// A command as the server reads it.
fn encode<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// One answer as text; what is absent is the empty text.
fn read_answer(stream: &mut impl BufRead) -> Result<String, Error> {
    let lost = |error| Error::database("Redis does not answer", error);
    let mut line = String::new();
    if stream.read_line(&mut line).map_err(lost)? == 0 {
        return Err(Error::database("Redis does not answer", "it closed the connection"));
    }
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).unwrap_or(("", line));
    match (kind, rest.parse::<usize>()) {
        ("-", _) => Err(Error::database("Redis refused a command", rest)),
        ("$", Ok(length)) => {
            let mut text = vec![0; length + 2];
            stream.read_exact(&mut text).map_err(lost)?;
            text.truncate(length);
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        ("*", Ok(length)) => {
            let elements: Result<Vec<_>, _> = (0..length).map(|_| read_answer(stream)).collect();
            Ok(elements?.join("\n"))
        }
        // A length of -1 stands for what is absent.
        ("$" | "*", Err(_)) => Ok(String::new()),
        _ => Ok(rest.to_owned()),
    }
}
