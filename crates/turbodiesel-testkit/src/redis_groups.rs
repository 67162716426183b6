//! Private Redis servers that belong together: a primary with a replica under a Sentinel, a Cluster.

use std::time::Duration;

use crate::{
    Error, Redis, RedisOptions,
    postgres::free_port,
    redis::{new_password, wait_until},
};

/// How long servers may take to find each other.
const MEETING_DEADLINE: Duration = Duration::from_secs(30);

/// The slots of a Cluster, by which its keys are spread.
const SLOTS: usize = 16_384;

/// A primary, its replica, and a Sentinel that makes the one the other when it is gone for half a
/// second.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The server that is the primary at first.
    pub primary: Redis,
    /// The server that is its replica at first.
    pub replica: Redis,
    /// The one that watches both. One is enough, since its quorum is one.
    pub sentinel: Redis,
}

impl RedisSentinel {
    /// The name by which the Sentinel knows the two.
    pub const SERVICE: &str = "turbodiesel";

    /// Starts the three and waits until the Sentinel knows the replica.
    ///
    /// # Errors
    ///
    /// As for [`Redis::start`].
    pub fn start() -> Result<Self, Error> {
        let password = new_password();
        let primary = Redis::launch(&RedisOptions::default(), &password, &[])?;
        let port = primary.port().to_string();
        // What a primary has written is sent at once, and does not wait for more replicas.
        let replica = Redis::launch(
            &options(&[("replicaof", &format!("127.0.0.1 {port}"))]),
            &password,
            &[],
        )?;
        let name = Self::SERVICE;
        let sentinel = Redis::launch(
            &options(&[
                ("sentinel", &format!("monitor {name} 127.0.0.1 {port} 1")),
                ("sentinel", &format!("auth-pass {name} {password}")),
                ("sentinel", &format!("down-after-milliseconds {name} 500")),
                ("sentinel", &format!("failover-timeout {name} 5000")),
            ]),
            &password,
            &["--sentinel"],
        )?;
        let group = Self { primary, replica, sentinel };
        let met = wait_until(MEETING_DEADLINE, || {
            let replicas = group.sentinel.command(&["SENTINEL", "replicas", name]);
            let linked = group.replica.command(&["INFO", "replication"]);
            replicas.is_ok_and(|text| text.contains("master-link-status\nok"))
                && linked.is_ok_and(|text| text.contains("master_link_status:up"))
        });
        if met { Ok(group) } else { Err(Error::server("the Sentinel did not find the replica")) }
    }

    /// The Sentinel as a URL, `redis+sentinel://:password@127.0.0.1:port/turbodiesel`. The password
    /// is that of all three.
    #[must_use]
    pub fn url(&self) -> String {
        let (password, port) = (self.sentinel.password(), self.sentinel.port());
        format!("redis+sentinel://:{password}@127.0.0.1:{port}/{}", Self::SERVICE)
    }
}

/// A Cluster of three primaries.
#[derive(Debug)]
pub struct RedisCluster {
    /// The nodes, in the order of their slots.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts three nodes, spreads the slots evenly, and waits until all of them agree.
    ///
    /// # Errors
    ///
    /// As for [`Redis::start`].
    pub fn start() -> Result<Self, Error> {
        const NODES: usize = 3;
        let password = new_password();
        let mut nodes = Vec::with_capacity(NODES);
        for number in 0..NODES {
            let bus = free_port()?.to_string();
            let settings = [
                ("cluster-enabled", "yes"),
                ("cluster-config-file", "nodes.conf"),
                ("cluster-node-timeout", "2000"),
                ("cluster-port", bus.as_str()),
            ];
            let node = Redis::launch(&options(&settings), &password, &[])?;
            let first = (number * SLOTS / NODES).to_string();
            let last = ((number + 1) * SLOTS / NODES - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])?;
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()])?;
            if let Some(met) = nodes.first() {
                let met: &Redis = met;
                let port = node.port().to_string();
                met.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
            }
            nodes.push(node);
        }
        let cluster = Self { nodes };
        let agreed = wait_until(MEETING_DEADLINE, || {
            cluster.nodes.iter().all(|node| {
                let info = node.command(&["CLUSTER", "INFO"]).unwrap_or_default();
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        if agreed { Ok(cluster) } else { Err(Error::server("the Cluster's nodes did not meet")) }
    }

    /// The nodes as a URL, `redis+cluster://:password@127.0.0.1:port,127.0.0.1:port/`.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://:{}@{}/", self.nodes[0].password(), hosts.join(","))
    }
}

fn options(settings: &[(&str, &str)]) -> RedisOptions {
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    RedisOptions { settings: settings.collect(), tls: None }
}
