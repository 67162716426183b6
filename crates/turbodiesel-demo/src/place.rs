//! Where a run happens: a database of the demo's own, made and removed by it.

use std::{future::Future, sync::Arc};

use anyhow::{Result, bail};
use tokio_util::sync::CancellationToken;

use crate::{contender::Contender, data::Data, progress::Progress};

/// Tables of reference data, which turbodiesel may keep for minutes.
pub(crate) const REFERENCE: [&str; 4] = ["users", "roles", "permissions", "user_roles"];
/// Tables that change all the time.
pub(crate) const HOT: [&str; 4] = ["inventory", "orders", "order_lines", "work_orders"];

/// A database for the demo.
pub(crate) trait Place: Sized {
    type Plain: Contender;
    type Turbodiesel: Contender;

    /// The database in words, with its version.
    fn describe(&self) -> &str;

    /// Makes the tables anew, with exactly these rows. No contender may be using them.
    fn reset(
        &mut self,
        data: &Arc<Data>,
        progress: &Progress,
        interrupt: &CancellationToken,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Plain diesel-async with a pool of this size.
    fn plain(&self, connections: u32) -> impl Future<Output = Result<Self::Plain>> + Send;

    /// turbodiesel with a pool of this size.
    fn turbodiesel(
        &self,
        connections: u32,
    ) -> impl Future<Output = Result<Self::Turbodiesel>> + Send;

    /// Removes everything.
    fn remove(self) -> impl Future<Output = Result<()>> + Send;
}

/// Somebody asked the demo to end.
#[derive(Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Fails with [`Interrupted`] if somebody asked the demo to end.
pub(crate) fn check(interrupt: &CancellationToken) -> Result<()> {
    if interrupt.is_cancelled() {
        bail!(Interrupted);
    }
    Ok(())
}
