//! Where Redis is: what a URL names.

use std::{fmt, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

use crate::error::Error;

/// How long a connection may be silent until the system asks whether the other side is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
/// How often it asks then.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
/// How long what was sent may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many commands may wait to be written. Redis-rs has 50, which makes tasks wait for each other.
const PIPELINE_BUFFER: usize = 512;
/// How often a command follows a slot that has moved. More would take longer than its deadline.
const CLUSTER_RETRIES: u32 = 2;

/// What connections are opened to.
#[derive(Clone)]
pub(crate) enum Target {
    Single(ConnectionInfo),
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String },
    Cluster(Vec<ConnectionInfo>),
}

/// An open connection, whose clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    /// To one server.
    Node(MultiplexedConnection),
    /// To all nodes of a Cluster.
    Cluster(ClusterConnection),
}

impl Target {
    /// Reads `redis://`, `rediss://`, `valkey://`, `valkeys://`, `redis+unix://`, and with a list of
    /// hosts `redis+sentinel://hosts/service/db` and `redis+cluster://hosts`, or `rediss+…` for TLS.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| {
            Error::configuration("the URL of Redis has no scheme: write redis://host:port")
        })?;
        let target = match scheme.split_once('+') {
            Some((scheme, "sentinel")) => {
                let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
                let (service, database) = path.split_once('/').unwrap_or((path, ""));
                if service.is_empty() {
                    return Err(Error::configuration(
                        "the URL names no service of the Sentinels: write \
                         redis+sentinel://host:port,host:port/service",
                    ));
                }
                let sentinels = nodes(scheme, hosts, database)?;
                Target::Sentinel { sentinels, service: service.to_owned() }
            }
            Some((scheme, "cluster")) => {
                let (hosts, _) = rest.split_once('/').unwrap_or((rest, ""));
                Target::Cluster(nodes(scheme, hosts, "")?)
            }
            _ => Target::Single(node(url)?),
        };
        if !cfg!(feature = "tls") && target.nodes().iter().any(is_tls) {
            return Err(Error::configuration(
                "the URL of Redis asks for TLS: enable the feature `tls` of turbodiesel-redis",
            ));
        }
        Ok(target)
    }

    fn nodes(&self) -> &[ConnectionInfo] {
        match self {
            Target::Single(node) => std::slice::from_ref(node),
            Target::Sentinel { sentinels, .. } => sentinels,
            Target::Cluster(nodes) => nodes,
        }
    }

    /// Opens a connection. `on_push` hears what the server sends unasked, and that it is gone.
    pub(crate) async fn connect(
        &self,
        roots: Option<&[u8]>,
        connect_timeout: Duration,
        on_push: impl Fn(redis::PushKind) + Send + Sync + 'static,
    ) -> redis::RedisResult<Connection> {
        let push = move |info: redis::PushInfo| {
            on_push(info.kind);
            Ok::<(), redis::aio::SendError>(())
        };
        // Each command has a deadline of ours, so the client needs none of its own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        match self {
            Target::Single(node) => {
                let client = client(node.clone(), roots)?;
                let config = config.set_push_sender(push);
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                connection.await.map(Connection::Node)
            }
            Target::Sentinel { sentinels, service } => {
                let mut sentinel = sentinel(sentinels, service, roots)?.build()?;
                let config = config.set_push_sender(push);
                let connection = sentinel.get_async_connection_with_config(&config);
                connection.await.map(Connection::Node)
            }
            Target::Cluster(nodes) => {
                #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "certificates"))]
                let mut builder = ClusterClient::builder(nodes.iter().cloned())
                    .retries(CLUSTER_RETRIES)
                    .min_retry_wait(1)
                    .max_retry_wait(10)
                    .connection_timeout(connect_timeout)
                    .response_timeout(connect_timeout)
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp_settings());
                #[cfg(feature = "tls")]
                if let Some(roots) = certificates(roots) {
                    builder = builder.certs(roots);
                }
                builder.build()?.get_async_connection().await.map(Connection::Cluster)
            }
        }
    }
}

impl fmt::Debug for Target {
    /// Leaves out the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.nodes().iter().map(|node| node.addr().to_string()).collect();
        let kind = match self {
            Target::Single(_) => "server",
            Target::Sentinel { .. } => "sentinels",
            Target::Cluster(_) => "cluster",
        };
        write!(f, "{kind} {}", addresses.join(", "))
    }
}

/// The nodes of a list of hosts behind one user and password.
fn nodes(scheme: &str, hosts: &str, database: &str) -> Result<Vec<ConnectionInfo>, Error> {
    let (user, hosts) = match hosts.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), hosts),
    };
    hosts.split(',').map(|host| node(&format!("{scheme}://{user}{host}/{database}"))).collect()
}

fn node(url: &str) -> Result<ConnectionInfo, Error> {
    let info = url.into_connection_info().map_err(|error| {
        // The URL itself may hold a password.
        Error::url(
            "the URL of Redis cannot be read: write redis://user:password@host:port/db",
            error,
        )
    })?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings).set_tcp_settings(tcp_settings()))
}

fn tcp_settings() -> TcpSettings {
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_INTERVAL);
    // Without delay: a command in two segments would else wait for the server's delayed
    // acknowledgement, which alone may take longer than the deadline of a command.
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    settings
}

fn is_tls(node: &ConnectionInfo) -> bool {
    matches!(node.addr(), ConnectionAddr::TcpTls { .. })
}

#[cfg(feature = "tls")]
fn certificates(roots: Option<&[u8]>) -> Option<redis::TlsCertificates> {
    let root_cert = Some(roots?.to_vec());
    Some(redis::TlsCertificates { client_tls: None, root_cert })
}

#[cfg(feature = "tls")]
fn client(node: ConnectionInfo, roots: Option<&[u8]>) -> redis::RedisResult<Client> {
    match certificates(roots) {
        Some(roots) if is_tls(&node) => Client::build_with_tls(node, roots),
        _ => Client::open(node),
    }
}

#[cfg(not(feature = "tls"))]
fn client(node: ConnectionInfo, _: Option<&[u8]>) -> redis::RedisResult<Client> {
    Client::open(node)
}

/// The Sentinels and the servers that they watch are taken to have the same user and password.
fn sentinel(
    sentinels: &[ConnectionInfo],
    service: &str,
    roots: Option<&[u8]>,
) -> redis::RedisResult<SentinelClientBuilder> {
    let addresses = sentinels.iter().map(|node| node.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
        .set_client_to_redis_protocol(ProtocolVersion::RESP3)
        .set_client_to_redis_tcp_settings(tcp_settings())
        .set_client_to_sentinel_tcp_settings(tcp_settings());
    // OK because a list of hosts has at least one.
    let settings = sentinels[0].redis_settings();
    builder = builder.set_client_to_redis_db(settings.db());
    if let Some(username) = settings.username() {
        builder = builder
            .set_client_to_redis_username(username)
            .set_client_to_sentinel_username(username);
    }
    if let Some(password) = settings.password() {
        builder = builder
            .set_client_to_redis_password(password)
            .set_client_to_sentinel_password(password);
    }
    if is_tls(&sentinels[0]) {
        builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
        #[cfg(feature = "tls")]
        if let Some(roots) = certificates(roots) {
            builder = builder
                .set_client_to_redis_certificates(roots.clone())
                .set_client_to_sentinel_certificates(roots);
        }
    }
    #[cfg(not(feature = "tls"))]
    let _ = roots;
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        format!("{:?}", Target::parse(url).unwrap())
    }

    #[test]
    fn urls_name_servers_sentinels_and_clusters() {
        for (url, expected) in [
            ("redis://127.0.0.1:7000", "server 127.0.0.1:7000"),
            ("redis://app:secret@cache.example/3", "server cache.example:6379"),
            ("valkey://cache.example", "server cache.example:6379"),
            ("redis+unix:///run/redis.sock", "server /run/redis.sock"),
            ("redis+sentinel://:p@a:1,b:2/main", "sentinels a:1, b:2"),
            ("redis+sentinel://a/main/2", "sentinels a:6379"),
            ("redis+cluster://u:p@a:1,b:2,c:3/", "cluster a:1, b:2, c:3"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn user_password_and_database_reach_every_node() {
        let target = Target::parse("redis+sentinel://u:p@a:1,b:2/main/5").unwrap();
        for node in target.nodes() {
            let settings = node.redis_settings();
            assert_eq!((settings.username(), settings.password()), (Some("u"), Some("p")));
            assert_eq!(settings.db(), 5);
            assert!(settings.protocol().supports_resp3());
            assert!(node.tcp_settings().nodelay() && node.tcp_settings().keepalive().is_some());
        }
    }

    #[test]
    fn a_wrong_url_is_refused_without_its_password() {
        for url in [
            "cache.example:6379",
            "http://user:hunter2@cache.example",
            "redis+sentinel://:hunter2@a:1",
            "redis+cluster://:hunter2@a:port",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(error.is_configuration());
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
