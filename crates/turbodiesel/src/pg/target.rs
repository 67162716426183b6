//! Where a PostgreSQL server is and how to talk to it.

use std::{fmt, path::PathBuf, time::Duration};

use diesel_async::AsyncPgConnection;
use tokio_postgres::{NoTls, config::Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, SslMode};
use crate::error::Error;

/// How long establishing a connection may take unless the URL says otherwise (`connect_timeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// `tokio-postgres`'s default for idle connections.
const UNNOTICED: Duration = Duration::from_secs(2 * 60 * 60);

/// A parsed connection string with its TLS connector.
pub struct PgTarget {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl fmt::Debug for PgTarget {
    /// Leaves out the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgTarget({})", self.describe())
    }
}

impl PgTarget {
    /// Parses a URL (`postgres://…`) or a list of `key=value`, with libpq's `sslmode` and
    /// `sslrootcert` in full.
    pub(crate) fn parse(url: &str, statement_timeout: Duration) -> Result<Self, Error> {
        let Ssl { rest, mode, root } = Ssl::split_off(url)?;
        let mut config: tokio_postgres::Config = rest.parse().map_err(|error| {
            // The parser's message may quote the text, and the text may hold a password.
            let reason = std::error::Error::source(&error)
                .map_or_else(|| "it could not be parsed".to_owned(), ToString::to_string);
            Error::configuration(format!(
                "the database URL is not valid ({reason}): expected \
                 postgres://user:password@host:port/database"
            ))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::configuration(
                "the database URL names no host: expected \
                 postgres://user:password@host:port/database, or ?host=/socket/folder",
            ));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_keepalives_idle() == UNNOTICED {
            // A peer that vanishes while it owes an answer is noticed within a minute.
            config.keepalives_idle(Duration::from_secs(30));
            config.keepalives_interval(Duration::from_secs(10));
            config.keepalives_retries(3);
        }
        if config.get_tcp_user_timeout().is_none() {
            // A peer that vanished is noticed no later than a statement would have ended.
            config.tcp_user_timeout(statement_timeout);
        }
        // As a start-up option the timeout is the session's default: `RESET ALL` keeps it. It comes
        // last, so that it holds whatever the URL says: marks of writes rely on it.
        let options = config.get_options().unwrap_or_default();
        let timeout = statement_timeout.as_millis();
        config.options(format!("{options} -c statement_timeout={timeout}"));
        // libpq ignores `sslmode` on Unix sockets, where there is nobody to listen.
        let local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)))
            && config.get_hostaddrs().is_empty();
        let mode = if local { SslMode::Disable } else { mode };
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        let tls = tls::connector(mode, root.as_deref())?;
        Ok(Self { config, tls })
    }

    pub(super) async fn connect(&self) -> Result<AsyncPgConnection, Error> {
        let failed = |error: tokio_postgres::Error| {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            Error::connect(self.describe(), message)
        };
        let connection = match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        };
        connection.map_err(|error| Error::connect(self.describe(), error))
    }

    /// Cancels the statement that runs on another connection. If that fails, the server's statement
    /// timeout ends it.
    pub(super) async fn cancel(&self, token: tokio_postgres::CancelToken) {
        let cancelled = match self.tls.clone() {
            Some(tls) => token.cancel_query(tls).await,
            None => token.cancel_query(NoTls).await,
        };
        if let Err(error) = cancelled {
            tracing::debug!(%error, "a dropped statement could not be cancelled");
        }
    }

    pub(super) fn describe(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => {
                self.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default()
            }
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("PostgreSQL `{database}` at {host}:{port}")
    }
}

/// The TLS settings of a connection string, which `tokio-postgres` knows only in part.
struct Ssl {
    rest: String,
    mode: SslMode,
    root: Option<PathBuf>,
}

impl Ssl {
    fn split_off(url: &str) -> Result<Self, Error> {
        let mut ssl = Ssl { rest: String::new(), mode: SslMode::Prefer, root: None };
        let (head, parameters, separator) = match url.split_once('?') {
            Some((head, query)) => (head, query.split('&').collect::<Vec<_>>(), "&"),
            None if url.contains("://") => (url, Vec::new(), "&"),
            None => ("", url.split(' ').collect(), " "),
        };
        let mut kept = Vec::new();
        for parameter in parameters {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl.mode = SslMode::parse(mode.trim_matches('\''))?,
                Some(("sslrootcert", path)) => {
                    ssl.root = Some(PathBuf::from(percent_decode(path.trim_matches('\''))));
                }
                _ => kept.push(parameter),
            }
        }
        let kept = kept.join(separator);
        ssl.rest = match (head, kept.as_str()) {
            ("", kept) => kept.to_owned(),
            (head, "") => head.to_owned(),
            (head, kept) => format!("{head}?{kept}"),
        };
        Ok(ssl)
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.first_chunk::<2>())
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn parse(url: &str) -> Result<PgTarget, Error> {
        PgTarget::parse(url, TIMEOUT)
    }

    #[test]
    fn every_sslmode_of_libpq_is_understood() {
        for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            let target = parse(&format!("postgres://u:p@localhost/d?sslmode={mode}")).unwrap();
            assert_eq!(target.tls.is_some(), mode != "disable", "{mode}");
            parse(&format!("host=localhost user=u sslmode={mode}")).unwrap();
        }
    }

    #[test]
    fn a_wrong_sslmode_names_the_right_ones() {
        let error = parse("postgres://localhost/d?sslmode=strict").unwrap_err();
        assert!(error.is_configuration());
        assert!(error.to_string().contains("verify-full"), "{error}");
    }

    #[test]
    fn a_wrong_url_never_shows_the_password() {
        for url in ["postgres://u:hunter2@host:port/d", "user=u password=hunter2 nonsense=1"] {
            let error = parse(url).unwrap_err();
            assert!(error.is_configuration());
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let target = parse("postgres://u:hunter2@host/d").unwrap();
        assert!(!format!("{target:?}").contains("hunter2"));
    }

    #[test]
    fn unix_sockets_are_never_encrypted() {
        let target = parse("postgres://u@%2Ftmp%2Fx/d?sslmode=require").unwrap();
        assert!(target.tls.is_none());
        assert!(parse("postgres:///d?host=/tmp&user=u").unwrap().tls.is_none());
    }

    #[test]
    fn the_statement_timeout_comes_last() {
        let target = parse("postgres://localhost/d?options=-c%20statement_timeout%3D0").unwrap();
        let options = target.config.get_options().unwrap();
        assert!(options.ends_with("-c statement_timeout=30000"), "{options}");
    }

    #[test]
    fn a_missing_root_certificate_is_named() {
        let error =
            parse("postgres://localhost/d?sslmode=verify-full&sslrootcert=%2Fno%2Froot.pem")
                .unwrap_err();
        assert!(error.to_string().contains("/no/root.pem"), "{error}");
    }
}
