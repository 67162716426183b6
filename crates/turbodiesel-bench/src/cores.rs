//! Who runs on which core.
//!
//! Where client and server may run anywhere, the scheduler now puts them on one core and now on two,
//! and a query takes 30 µs or 120 µs accordingly, for seconds at a time. So latencies are measured as
//! if each had a machine of its own: the client on one core, the server on another.

use anyhow::{Context as _, Result};
use diesel::{QueryableByName, sql_types::Integer};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use tokio::runtime::{Builder, Runtime};

/// A runtime on all cores.
pub(crate) fn all() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// A runtime of one worker on the first core, and the server's new connections on the second until
/// the guard is dropped. Where there are not two cores to choose from, everybody stays where he is.
pub(crate) fn apart(server_url: &str) -> Result<(Runtime, Apart)> {
    let postmaster = all()?.block_on(postmaster(server_url))?;
    let apart = Apart::of(postmaster).context("cannot give the server a core of its own")?;
    let client = apart.client();
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(move || client.enter())
        .build()?;
    Ok((runtime, apart))
}

#[derive(QueryableByName)]
struct Postmaster {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

/// The process that begins one for each connection.
async fn postmaster(server_url: &str) -> Result<i32> {
    let mut connection = AsyncPgConnection::establish(server_url).await?;
    let pid = "SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::integer AS pid";
    let postmaster: Postmaster = diesel::sql_query(pid).get_result(&mut connection).await?;
    Ok(postmaster.pid)
}

pub(crate) use affinity::Apart;

#[cfg(target_os = "linux")]
mod affinity {
    use rustix::{
        io::Result,
        process::Pid,
        thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    };

    /// The server's process with a core of its own, as long as it lives.
    pub(crate) struct Apart {
        server: Option<Pid>,
        everywhere: CpuSet,
        client: Client,
    }

    /// Where the client's threads run.
    #[derive(Clone, Copy)]
    pub(crate) struct Client(CpuSet);

    impl Apart {
        pub(super) fn of(server: i32) -> Result<Self> {
            let everywhere = sched_getaffinity(None)?;
            let mut cores = (0..CpuSet::MAX_CPU).filter(|core| everywhere.is_set(*core)).map(only);
            let (Some(first), Some(second)) = (cores.next(), cores.next()) else {
                return Ok(Self { server: None, everywhere, client: Client(everywhere) });
            };
            let server = Pid::from_raw(server);
            sched_setaffinity(server, &second)?;
            Ok(Self { server, everywhere, client: Client(first) })
        }

        pub(super) fn client(&self) -> Client {
            self.client
        }
    }

    impl Client {
        /// Moves the calling thread.
        pub(super) fn enter(self) {
            // OK because the set has a core that this process may use.
            sched_setaffinity(None, &self.0).expect("this thread can be moved");
        }
    }

    impl Drop for Apart {
        fn drop(&mut self) {
            if self.server.is_some() {
                // It may be gone.
                let _ = sched_setaffinity(self.server, &self.everywhere);
            }
        }
    }

    fn only(core: usize) -> CpuSet {
        let mut set = CpuSet::new();
        set.set(core);
        set
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    /// Nothing: threads are not bound to cores here.
    pub(crate) struct Apart;

    #[derive(Clone, Copy)]
    pub(crate) struct Client;

    impl Apart {
        pub(super) fn of(_server: i32) -> std::io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn client(&self) -> Client {
            Client
        }
    }

    impl Client {
        pub(super) fn enter(self) {}
    }
}
