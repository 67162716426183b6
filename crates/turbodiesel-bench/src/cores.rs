//! Who runs on which core.
//!
//! Where client and server may run anywhere, the scheduler now puts them on one core and now on two,
//! and a query takes 30 µs or 120 µs accordingly, for seconds at a time. So latencies are measured as
//! if each had a machine of its own: the client on one core, the server on another.

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};

/// A runtime on all cores.
pub(crate) fn all() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// A runtime of one worker on the first core, and the server's new connections on the second until
/// the guard is dropped. Where that cannot be, everybody stays where he is, and why is told.
pub(crate) fn apart(server_url: &str) -> Result<(Runtime, Apart)> {
    let apart = all()?.block_on(Apart::of(server_url)).unwrap_or_else(|why| {
        eprintln!("client and server are not given cores of their own: {why:#}");
        Apart::nowhere()
    });
    let client = apart.client();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(move || client.enter())
        .build()?;
    Ok((runtime, apart))
}

pub(crate) use affinity::Apart;

#[cfg(target_os = "linux")]
mod affinity {
    use std::fs;

    use anyhow::{Context as _, Result, bail, ensure};
    use diesel::{QueryableByName, sql_types::Integer};
    use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
    use rustix::{
        process::Pid,
        thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    };

    /// The server's process with a core of its own, as long as it lives.
    pub(crate) struct Apart {
        /// Where the server was before.
        server: Option<(Pid, CpuSet)>,
        client: Client,
    }

    /// Where the client's threads run, if it matters.
    #[derive(Clone, Copy)]
    pub(crate) struct Client(Option<CpuSet>);

    impl Apart {
        pub(super) async fn of(server_url: &str) -> Result<Self> {
            let everywhere = sched_getaffinity(None)?;
            let mut cores = (0..CpuSet::MAX_CPU).filter(|core| everywhere.is_set(*core)).map(only);
            let (Some(first), Some(second)) = (cores.next(), cores.next()) else {
                bail!("there are not two");
            };
            let server = postmaster(server_url).await?;
            let before = sched_getaffinity(Some(server))?;
            sched_setaffinity(Some(server), &second).context("the server may not be moved")?;
            Ok(Self { server: Some((server, before)), client: Client(Some(first)) })
        }

        /// Everybody where he is.
        pub(super) fn nowhere() -> Self {
            Self { server: None, client: Client(None) }
        }

        pub(super) fn client(&self) -> Client {
            self.client
        }
    }

    impl Client {
        /// Moves the calling thread.
        pub(super) fn enter(self) {
            if let Some(core) = self.0 {
                // OK because the set has a core that this process may use.
                sched_setaffinity(None, &core).expect("this thread can be moved");
            }
        }
    }

    impl Drop for Apart {
        fn drop(&mut self) {
            if let Some((server, before)) = self.server {
                // It may be gone.
                let _ = sched_setaffinity(Some(server), &before);
            }
        }
    }

    fn only(core: usize) -> CpuSet {
        let mut set = CpuSet::new();
        set.set(core);
        set
    }

    #[derive(QueryableByName)]
    struct Backend {
        #[diesel(sql_type = Integer)]
        pid: i32,
    }

    /// The process that begins one for each connection.
    async fn postmaster(server_url: &str) -> Result<Pid> {
        let mut connection = AsyncPgConnection::establish(server_url).await?;
        let backend: Backend =
            diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(&mut connection).await?;
        // Looked for while the connection, and with it the process, is there.
        parent(backend.pid)
    }

    /// The postmaster of a connection's process. The number may be one of another machine or
    /// container, and mean nothing here or somebody else: both have to be PostgreSQL's.
    pub(super) fn parent(backend: i32) -> Result<Pid> {
        const ELSEWHERE: &str = "the server's processes are not on this machine";
        let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm"));
        ensure!(name(backend).context(ELSEWHERE)?.trim_end() == "postgres", ELSEWHERE);
        let status = fs::read_to_string(format!("/proc/{backend}/status")).context(ELSEWHERE)?;
        let parent =
            status.lines().find_map(|line| line.strip_prefix("PPid:")).context(ELSEWHERE)?;
        let parent: i32 = parent.trim().parse().context(ELSEWHERE)?;
        ensure!(name(parent).context(ELSEWHERE)?.trim_end() == "postgres", ELSEWHERE);
        Pid::from_raw(parent).context(ELSEWHERE)
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    /// Nothing: threads are not bound to cores here.
    pub(crate) struct Apart;

    #[derive(Clone, Copy)]
    pub(crate) struct Client;

    impl Apart {
        pub(super) async fn of(_server_url: &str) -> anyhow::Result<Self> {
            Ok(Self)
        }

        pub(super) fn nowhere() -> Self {
            Self
        }

        pub(super) fn client(&self) -> Client {
            Client
        }
    }

    impl Client {
        pub(super) fn enter(self) {}
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_not_postgresqls_is_left_alone() {
        // Of a server elsewhere: the number belongs to another program here, or to none.
        for pid in [i32::try_from(std::process::id()).unwrap(), i32::MAX] {
            let error = format!("{:#}", affinity::parent(pid).unwrap_err());
            assert!(error.starts_with("the server's processes are not on this machine"), "{error}");
        }
    }

    #[test]
    fn a_server_of_this_machine_has_a_core_of_its_own_until_the_guard_is_dropped() {
        let server = turbodiesel_testkit::Postgres::start().unwrap();
        let file = std::fs::read_to_string(server.folder().join("data/postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap();
        let cores = || {
            let status = std::fs::read_to_string(format!("/proc/{postmaster}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            line.unwrap().trim().to_owned()
        };
        let before = cores();
        let (_runtime, apart) = apart(&server.url()).unwrap();
        if before.contains([',', '-']) {
            assert!(cores().parse::<usize>().is_ok(), "{}", cores());
        }
        drop(apart);
        assert_eq!(cores(), before);
    }

    #[test]
    fn where_the_server_cannot_be_asked_everybody_stays_where_he_is() {
        let (runtime, _apart) = apart("postgres://nobody@%2Fnowhere/postgres").unwrap();
        let cores = std::thread::available_parallelism().unwrap();
        let of_a_worker = runtime.block_on(async {
            tokio::spawn(async { std::thread::available_parallelism().unwrap() }).await.unwrap()
        });
        assert_eq!(of_a_worker, cores);
    }
}
