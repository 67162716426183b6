//! One connection to Redis, and what is asked over it.
//!
//! A link is for one epoch of the namespace, and its keys and MACs are of that epoch. On a single
//! server every answer comes together with the epoch's own key, in the same round trip: a namespace
//! that another process rotated, or that was flushed, is noticed by whoever reads or writes next. On a
//! Cluster that key lies on one node only, and is looked at regularly instead.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Value,
    aio::ConnectionLike,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo},
    cmd, pipe,
};
use tokio::time::Instant;

use crate::{frame::Seal, target::Connection};

/// Why something could not be asked, or was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody knows whether it was done, or still will be.
    Timeout,
    /// The connection is gone; nobody knows either.
    Lost(String),
    /// The server said no, with this code: `OOM`, `READONLY`, `LOADING` and the like.
    Refused(String),
    /// The namespace has another epoch by now, so what was done was done beside it.
    Rotated,
}

impl Failure {
    /// Whether something that was asked may yet be done.
    pub(crate) fn is_uncertain(&self) -> bool {
        matches!(self, Failure::Timeout | Failure::Lost(_))
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            // The client waits for the Cluster on its own account.
            ErrorKind::Io if error.is_timeout() => Failure::Timeout,
            _ => match error.code() {
                Some(code) => Failure::Refused(code.to_owned()),
                None => Failure::Lost(error.to_string()),
            },
        }
    }
}

/// The names of a namespace's keys in Redis.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// `td:namespace:`, which begins all of them. No namespace has a colon, so none begins another.
    pub(crate) prefix: Arc<str>,
}

impl Names {
    pub(crate) fn new(namespace: &str) -> Self {
        Self { prefix: format!("td:{namespace}:").into() }
    }

    /// The key whose value is the namespace's epoch.
    pub(crate) fn epoch(&self) -> String {
        format!("{}epoch", self.prefix)
    }

    /// The key by which it is tried whether the server takes writes.
    pub(crate) fn probe(&self) -> String {
        format!("{}probe", self.prefix)
    }
}

/// What a connection is told at its beginning, and what has to be the same for it to be used on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The process that answers; on a Cluster, of no use.
    pub(crate) run_id: String,
    /// The number of this connection in that process.
    pub(crate) client_id: u64,
    /// Which history its data has: another one after a failover or a restart, when acknowledged
    /// writes may be missing. On a Cluster, those of all primaries.
    pub(crate) history: String,
}

/// The epoch of a namespace, and the names and MACs that follow from it.
#[derive(Clone, Debug)]
pub(crate) struct Epoch {
    /// What is stored in Redis.
    pub(crate) nonce: Bytes,
    /// What begins the keys of all values.
    pub(crate) prefix: Arc<[u8]>,
    pub(crate) seal: Seal,
}

impl Epoch {
    /// The same in every process that finds this nonce in this history. The history takes part, since
    /// a nonce is replicated and saved like anything else, and would come back with old values.
    pub(crate) fn new(
        names: &Names,
        secret: &[u8],
        namespace: &str,
        nonce: Bytes,
        history: &str,
    ) -> Self {
        let mut identity = nonce.to_vec();
        identity.push(b'/');
        identity.extend_from_slice(history.as_bytes());
        let hash = blake3::hash(&identity).to_hex();
        let prefix = format!("{}{}:", names.prefix, &hash[..16]);
        Self {
            nonce,
            prefix: prefix.into_bytes().into(),
            seal: Seal::new(secret, namespace, &identity),
        }
    }
}

/// An open connection.
#[derive(Clone)]
pub(crate) struct Wire {
    connection: Connection,
    deadline: Duration,
}

impl Wire {
    pub(crate) fn new(connection: Connection, deadline: Duration) -> Self {
        Self { connection, deadline }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.connection, Connection::Cluster(_))
    }

    /// Asks one command, within the deadline.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        self.within(async {
            match self.connection.clone() {
                Connection::Node(mut node) => command.query_async(&mut node).await,
                Connection::Cluster(mut cluster) => command.query_async(&mut cluster).await,
            }
        })
        .await
    }

    /// Asks several commands in one round trip, to one server; on a Cluster to each node that they
    /// concern, at the same time. The answers are in the order of the commands; refusals are among
    /// them.
    pub(crate) async fn ask_all(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        match self.connection.clone() {
            Connection::Node(mut node) => {
                let count = commands.len();
                self.within(async { node.req_packed_commands(commands, 0, count).await }).await
            }
            Connection::Cluster(cluster) => {
                let asked = commands.cmd_iter().map(|command| {
                    let mut cluster = cluster.clone();
                    async move { cluster.req_packed_command(command).await }
                });
                self.within(async { futures_util::future::try_join_all(asked).await }).await
            }
        }
    }

    /// Asks all primaries, of which there may be one, and gives their answers.
    pub(crate) async fn ask_primaries(&self, command: &Cmd) -> Result<Vec<Value>, Failure> {
        match self.connection.clone() {
            Connection::Node(_) => Ok(vec![self.ask(command).await?]),
            Connection::Cluster(mut cluster) => {
                let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                let asked = cluster.route_command(command.clone(), all);
                match self.within(asked).await? {
                    Value::Map(nodes) => Ok(nodes.into_iter().map(|(_, answer)| answer).collect()),
                    answer => Ok(vec![answer]),
                }
            }
        }
    }

    /// Asks one primary of a Cluster by its address, or the only server.
    pub(crate) async fn ask_node(
        &self,
        node: &Node,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, Failure> {
        match (self.connection.clone(), node) {
            (Connection::Cluster(cluster), Node::At(host, port)) => {
                let asked = commands.cmd_iter().map(|command| {
                    let mut cluster = cluster.clone();
                    let route = RoutingInfo::SingleNode(
                        redis::cluster_routing::SingleNodeRoutingInfo::ByAddress {
                            host: host.clone(),
                            port: *port,
                        },
                    );
                    async move { cluster.route_command(command.clone(), route).await }
                });
                self.within(async { futures_util::future::try_join_all(asked).await }).await
            }
            _ => self.ask_all(commands).await,
        }
    }

    async fn within<T>(&self, asked: impl Future<Output = RedisResult<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.deadline, asked).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::Timeout),
        }
    }
}

/// One of the servers that hold keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// The only one.
    Only,
    /// A primary of a Cluster.
    At(String, u16),
}

/// A connection in use.
pub(crate) struct Link {
    /// Tells it from those before it.
    pub(crate) number: u64,
    pub(crate) wire: Wire,
    pub(crate) server: Server,
    pub(crate) epoch: Epoch,
    pub(crate) since: Instant,
    epoch_key: String,
    /// Writes that were begun and of which nobody has heard.
    unheard: AtomicU32,
    /// Answers that did not come in time, one after the other.
    slow: AtomicU32,
}

impl Link {
    pub(crate) fn new(
        number: u64,
        wire: Wire,
        server: Server,
        epoch: Epoch,
        names: &Names,
    ) -> Self {
        Self {
            number,
            wire,
            server,
            epoch,
            since: Instant::now(),
            epoch_key: names.epoch(),
            unheard: AtomicU32::new(0),
            slow: AtomicU32::new(0),
        }
    }

    /// The name of a key of this epoch in Redis.
    pub(crate) fn name(&self, key: &[u8]) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.epoch.prefix.len() + key.len());
        name.extend_from_slice(&self.epoch.prefix);
        name.extend_from_slice(key);
        name
    }

    /// The bytes of some keys, in one round trip per node.
    pub(crate) async fn get<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        let mut command = cmd("MGET");
        if !self.wire.is_cluster() {
            command.arg(&self.epoch_key);
        }
        for key in keys {
            command.arg(self.name(key.as_ref()));
        }
        let mut values: Vec<Option<Bytes>> = self.wire.ask(&command).await?;
        if !self.wire.is_cluster() {
            if values.first().and_then(Option::as_ref) != Some(&self.epoch.nonce) {
                return Err(Failure::Rotated);
            }
            values.remove(0);
        }
        self.slow.store(0, Relaxed);
        if values.len() != keys.len() {
            return Err(Failure::Lost("an answer of another length".to_owned()));
        }
        Ok(values)
    }

    /// Asks something that does not change values, and gives the answer to each command.
    pub(crate) async fn read(&self, mut commands: Pipeline) -> Result<Vec<Value>, Failure> {
        let answers = self.checked(&mut commands).await?;
        self.slow.store(0, Relaxed);
        Ok(answers)
    }

    /// Changes something. Unless it is known to be done, or not to be, it counts as unheard of.
    pub(crate) async fn write(&self, mut commands: Pipeline) -> Result<Vec<Value>, Failure> {
        // Not undone when the caller's future is dropped: the server goes on regardless.
        self.unheard.fetch_add(1, Relaxed);
        let answers = self.checked(&mut commands).await;
        if !answers.as_ref().is_err_and(Failure::is_uncertain) {
            self.unheard.fetch_sub(1, Relaxed);
        }
        answers
    }

    /// The answers to commands, if they were given in this link's epoch and none was a refusal.
    async fn checked(&self, commands: &mut Pipeline) -> Result<Vec<Value>, Failure> {
        if !self.wire.is_cluster() {
            commands.cmd("GET").arg(&self.epoch_key);
        }
        let mut answers = self.wire.ask_all(commands).await?;
        if !self.wire.is_cluster() {
            let nonce = answers.pop();
            if !matches!(nonce, Some(Value::BulkString(nonce)) if nonce == self.epoch.nonce) {
                return Err(Failure::Rotated);
            }
        }
        answers.into_iter().map(|answer| Ok(answer.extract_error()?)).collect()
    }

    /// Whether a write may still be done by the server at any time.
    pub(crate) fn has_unheard_writes(&self) -> bool {
        self.unheard.load(Relaxed) > 0
    }

    /// Counts an answer that did not come in time, and tells how many there were in a row.
    pub(crate) fn count_slow(&self) -> u32 {
        self.slow.fetch_add(1, Relaxed) + 1
    }
}

/// Asks a connection whom it is talking to. Only a primary will do.
pub(crate) async fn identify(wire: &Wire) -> Result<Server, Failure> {
    let mut histories = Vec::new();
    for answer in wire.ask_primaries(cmd("INFO").arg("replication")).await? {
        let info = Info::read(answer)?;
        if info.get("role") != Some("master") {
            return Err(Failure::Refused("READONLY".to_owned()));
        }
        histories.push(info.get("master_replid").unwrap_or_default().to_owned());
    }
    histories.sort_unstable();
    let history = histories.join("+");
    if wire.is_cluster() {
        return Ok(Server { run_id: String::new(), client_id: 0, history });
    }
    let mut questions = pipe();
    questions.cmd("INFO").arg("server").cmd("CLIENT").arg("ID");
    let mut answers = wire.ask_all(&questions).await?.into_iter();
    let info = Info::read(answers.next().unwrap_or(Value::Nil))?;
    let run_id = info.get("run_id").unwrap_or_default().to_owned();
    // Where ACLs forbid to ask for the number, nobody can be ended by it either.
    let client_id = answers.next().and_then(|id| u64::from_redis_value(id).ok()).unwrap_or(0);
    Ok(Server { run_id, client_id, history })
}

/// Makes sure that nothing a former connection sent will still be done. False if that cannot be.
pub(crate) async fn end_connection(wire: &Wire, server: &Server, former: &Server) -> bool {
    if wire.is_cluster() {
        return false;
    }
    if former.run_id != server.run_id {
        // That process is gone, or is not the primary any more and will throw away what it is told.
        return former.history != server.history;
    }
    if former.client_id == 0 {
        return false;
    }
    // Commands are done one after the other: when this one is, the other connection has no turn left.
    wire.ask::<Value>(cmd("CLIENT").arg("KILL").arg("ID").arg(former.client_id)).await.is_ok()
}

/// The answer to `INFO`.
#[derive(Clone, Debug)]
pub(crate) struct Info(String);

impl Info {
    pub(crate) fn read(answer: Value) -> Result<Self, Failure> {
        let answer = answer.extract_error()?;
        Ok(Self(String::from_redis_value(answer).map_err(RedisError::from)?))
    }

    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use redis::ServerErrorKind;

    use super::*;

    fn epoch(namespace: &str, nonce: &'static str, history: &str) -> Epoch {
        Epoch::new(&Names::new(namespace), b"secret", namespace, nonce.into(), history)
    }

    #[test]
    fn epochs_differ_by_namespace_nonce_and_history_and_agree_otherwise() {
        let one = epoch("shop", "n1", "h1");
        assert_eq!(one.prefix, epoch("shop", "n1", "h1").prefix);
        for other in
            [epoch("shop", "n2", "h1"), epoch("shop", "n1", "h2"), epoch("shops", "n1", "h1")]
        {
            assert_ne!(one.prefix, other.prefix);
        }
    }

    #[test]
    fn refusals_are_told_from_silence() {
        let refused = RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), "no"));
        assert_eq!(Failure::from(refused), Failure::Refused("READONLY".to_owned()));
        let lost = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(Failure::from(lost).is_uncertain());
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let info =
            Info("# Replication\r\nrole:master\r\nmaster_replid2:0\r\nmaster_replid:ab\r\n".into());
        assert_eq!(info.get("role"), Some("master"));
        assert_eq!(info.get("master_replid"), Some("ab"));
        assert_eq!(info.get("master"), None);
    }
}
