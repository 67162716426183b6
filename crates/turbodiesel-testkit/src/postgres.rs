//! A private PostgreSQL server that disappears with its owner.

use std::{
    collections::hash_map::RandomState,
    env, fs,
    hash::{BuildHasher, Hasher},
    io::Read,
    net::{Ipv4Addr, TcpListener},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, place, programs};

/// The shell program that makes the folder, runs the server and removes both.
const WATCHDOG: &str = include_str!("watchdog.sh");

/// How long a server may take until it accepts connections; usual is one second.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How often the start looks whether the server is ready.
const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// How often a port that somebody else took in the meantime is replaced by another one.
const PORT_ATTEMPTS: usize = 5;

/// The port that names the socket file when nothing listens on the network.
const DEFAULT_PORT: u16 = 5432;

/// How a private server differs from the default one.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Keeps `fsync`, `synchronous_commit` and `full_page_writes` on and the data on a disk, for
    /// measuring real writes.
    /// Defaults to `false`.
    pub durable: bool,
    /// Listens on a free port of 127.0.0.1 too, and [`Postgres::url`] names that port and a random
    /// password. Defaults to `false`.
    pub tcp: bool,
    /// Settings as in `postgresql.conf`; they win over those of the kit. Defaults to none.
    pub settings: Vec<(String, String)>,
    /// Accepts TLS connections with this identity, which needs [`tcp`](Self::tcp): PostgreSQL has
    /// no TLS over Unix sockets. Defaults to none.
    pub tls: Option<ServerTls>,
    /// Replaces `pg_hba.conf`. Defaults to trust over the socket and a password over TCP. Keep the
    /// line `local all all trust` for `create_database`.
    pub hba: Option<String>,
    /// The folder of the programs `initdb` and `postgres`, for a version of one's choice. As root it must
    /// be open to the user `nobody`. Defaults to `PG_BIN`, then `PATH`, then the distribution's newest.
    pub programs: Option<PathBuf>,
}

/// The certificate that a private server shows to its clients, both parts in PEM.
#[derive(Clone)]
pub struct ServerTls {
    /// The server's certificate, followed by intermediate ones if there are any.
    pub certificate: String,
    /// The private key of the certificate.
    pub key: String,
}

/// A running private server. Dropping it ends the server and removes its folder.
#[derive(Debug)]
pub struct Postgres {
    watchdog: Child,
    folder: PathBuf,
    port: u16,
    /// Known only if the URL has to name it.
    tcp_password: Option<String>,
    version: String,
}

impl Postgres {
    /// Starts a server that listens on a Unix socket only and forgets its data in a crash.
    ///
    /// # Errors
    ///
    /// [`Error::is_not_installed`] if the machine has no PostgreSQL, [`Error::is_server`] if it
    /// does not start.
    pub fn start() -> Result<Self, Error> {
        Self::with(PostgresOptions::default())
    }

    /// Starts a server with options.
    ///
    /// # Errors
    ///
    /// As for [`Postgres::start`]; a setting that PostgreSQL refuses is [`Error::is_server`].
    pub fn with(options: PostgresOptions) -> Result<Self, Error> {
        let programs = programs::find(options.programs.as_deref())?;
        let version = programs::version(&programs)?;
        if !options.tcp {
            return Self::launch(&programs, version, &options, DEFAULT_PORT);
        }
        // PostgreSQL cannot pick a free port itself, so the chosen one may be gone when it starts.
        let mut attempt = 1;
        loop {
            match Self::launch(&programs, version.clone(), &options, free_port()?) {
                Err(error) if port_is_taken(&error) && attempt < PORT_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    /// The URL of the superuser `postgres` in the database `postgres`.
    ///
    /// With [`PostgresOptions::tcp`] it has the form
    /// `postgres://postgres:password@127.0.0.1:port/postgres`, else it is
    /// [`socket_url`](Self::socket_url). Both libpq and tokio-postgres understand them.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.tcp_password {
            Some(password) => {
                format!("postgres://postgres:{password}@127.0.0.1:{}/postgres", self.port)
            }
            None => self.socket_url(),
        }
    }

    /// The same over the Unix socket, `postgres://postgres@%2Ftmp%2Ffolder:port/postgres`.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("postgres://postgres@{}:{}/postgres", percent_encode(&self.folder), self.port)
    }

    /// The port of 127.0.0.1 with [`PostgresOptions::tcp`], else only a part of the socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket, the data and the log. It disappears with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version of the server, such as `15.14`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
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

    fn launch(
        programs: &Path,
        version: String,
        options: &PostgresOptions,
        port: u16,
    ) -> Result<Self, Error> {
        let user = if programs::is_root() { Some(place::unprivileged_user()?) } else { None };
        let folder = place::new_folder_name(options.durable, user);
        let password = format!("{:016x}{:016x}", random(), random());

        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHDOG, "turbodiesel-testkit"]).arg(&folder).arg(programs);
        command.args(["-p", &port.to_string()]);
        for (name, value) in settings(options) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // PGPORT, PGDATA, PGOPTIONS and the like would change what the server does.
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("TZ", "UTC").env("TESTKIT_PASSWORD", &password);
        if let Some(hba) = &options.hba {
            command.env("TESTKIT_HBA", hba);
        }
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
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let watchdog = command.spawn().map_err(|error| Error::io("cannot start /bin/sh", error))?;

        let tcp_password = options.tcp.then_some(password);
        let mut server = Self { watchdog, folder, port, tcp_password, version };
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Returns when the server accepts connections, or why it does not.
    ///
    /// PostgreSQL tells nobody when it is ready, it writes it into a file, which is also how
    /// `pg_ctl` knows.
    #[expect(
        clippy::disallowed_methods,
        reason = "a condition with a deadline, in another process"
    )]
    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let status_file = self.folder.join("data").join("postmaster.pid");
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let status = fs::read_to_string(&status_file).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            let ended = self
                .watchdog
                .try_wait()
                .map_err(|error| Error::io("cannot wait for the server", error))?;
            if ended.is_some() {
                let mut log = String::new();
                if let Some(mut stderr) = self.watchdog.stderr.take() {
                    // Whatever could be read is better than nothing.
                    let _ = stderr.read_to_string(&mut log);
                }
                return Err(Error::server(format!("PostgreSQL did not start:\n{}", log.trim())));
            }
            if Instant::now() > deadline {
                return Err(Error::server(format!(
                    "PostgreSQL was not ready within {} seconds:\n{}",
                    START_DEADLINE.as_secs(),
                    self.log().trim()
                )));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Lets go of the lifeline and waits for the watchdog. Doing it twice does no harm.
    fn end(&mut self) {
        drop(self.watchdog.stdin.take());
        // OK because the only failure is that the watchdog was waited for already.
        let _ = self.watchdog.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

/// All settings in the order in which PostgreSQL reads them: the last one of a name wins.
fn settings(options: &PostgresOptions) -> Vec<(&str, &str)> {
    let mut settings = vec![
        ("listen_addresses", if options.tcp { "127.0.0.1" } else { "" }),
        ("max_connections", "300"),
        ("shared_buffers", "64MB"),
        ("timezone", "UTC"),
    ];
    if !options.durable {
        settings.extend([
            ("fsync", "off"),
            ("synchronous_commit", "off"),
            ("full_page_writes", "off"),
        ]);
    }
    if options.tls.is_some() {
        settings.push(("ssl", "on"));
    }
    settings.extend(options.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    settings
}

pub(crate) fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::io("cannot find a free port on 127.0.0.1", error))
}

fn port_is_taken(error: &Error) -> bool {
    error.is_server() && error.to_string().contains("could not bind IPv4 address")
}

/// A random number from the seeds of the standard library's hash maps.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A path as the host of a URL.
fn percent_encode(path: &Path) -> String {
    let mut encoded = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_becomes_the_host_of_a_url() {
        assert_eq!(percent_encode(Path::new("/tmp/a b-1")), "%2Ftmp%2Fa%20b-1");
    }

    #[test]
    fn the_callers_settings_come_last() {
        let options = PostgresOptions {
            settings: vec![("fsync".into(), "on".into())],
            ..PostgresOptions::default()
        };
        assert_eq!(settings(&options).last(), Some(&("fsync", "on")));
    }
}
