//! Suite `memory`: what a cached row costs, counted by the global allocator.
//!
//! The map is made for a certain number of entries and doubles from there. So the cache is filled to
//! that number first and then to four times as many: the growth in between is what a place in the
//! map costs on the average. Answers are read through a `Db` as in an application, and what the
//! process holds more afterwards is divided by the entries that were added.

use std::time::Duration;

use anyhow::{Result, ensure};
use turbodiesel::{Db, Tier};

use crate::{
    Context, allocations,
    model::{self, COLUMNS, USERS_PER_ORG, User, user, users_of},
    report::{Report, Target},
    rounds::Samples,
};

/// The tier's budget. The map is made for this many bytes at 2 KiB each.
const CAPACITY: u64 = 8 << 20;
const PLACES: i32 = 4_096;
/// An organisation's answer weighs several KiB, so fewer fit, in a larger budget.
const ORGS: i32 = 2_000;
const ORGS_CAPACITY: u64 = 64 << 20;

/// Bytes of a DataRow message beside its cells, and of each cell beside its value.
const ROW_HEADER: usize = 7;
const CELL_HEADER: usize = 4;

pub(crate) async fn run(context: &Context) -> Result<Report> {
    let database = model::database(context, ORGS * USERS_PER_ORG).await?;
    let mut report = Report::new("memory");

    let mut ones = Costs::default();
    let mut hundreds = Costs::default();
    for _ in 0..context.rounds(5) {
        let db = open(database.url(), CAPACITY).await?;
        ones.measure(&db, 1..PLACES, PLACES..4 * PLACES, 1).await?;

        let db = open(database.url(), ORGS_CAPACITY).await?;
        hundreds.measure(&db, 1..2, 2..ORGS, USERS_PER_ORG).await?;
    }
    for (case, costs) in [("rows-1", &ones), ("rows-100", &hundreds)] {
        report.add((case, "turbodiesel"), ("bytes_per_row", "bytes"), costs.bytes.summary());
        if case == "rows-100" {
            let ratio = costs.bytes.median() / costs.wire.median();
            report.judge(ratio, Target::TimesAsMuch(1.5, "the wire"));
        }
        report.add((case, "wire"), ("bytes_per_row", "bytes"), costs.wire.summary());
        report.add((case, "turbodiesel"), ("fixed_bytes", "bytes"), costs.fixed.summary());
        if case == "rows-1" {
            report.judge(costs.fixed.median(), Target::AtMost(400.0));
        }
        let allocations = ("allocations_per_entry", "allocations");
        report.add((case, "turbodiesel"), allocations, costs.allocations.summary());
        let weighed = ("weighed_bytes_per_row", "bytes");
        report.add((case, "turbodiesel"), weighed, costs.weighed.summary());
    }
    Ok(report)
}

async fn open(url: &str, capacity: u64) -> Result<Db> {
    let hour = Duration::from_secs(3_600);
    Ok(Db::builder().url(url).capacity(Tier::L1, capacity).ttl(Tier::L1, hour).build().await?)
}

/// Reads an answer of `rows` rows, and returns the bytes of its cells.
async fn read(db: &Db, rows: i32, key: i32) -> Result<usize> {
    if rows == 1 {
        return Ok(payload(&user(&mut &*db, key).await?));
    }
    let users = users_of(&mut &*db, key).await?;
    ensure!(i32::try_from(users.len())? == rows, "{} users in an organisation", users.len());
    Ok(users.iter().map(payload).sum())
}

/// The bytes of a user's cells.
fn payload(user: &User) -> usize {
    size_of::<i32>() + user.name.len() + user.email.len() + size_of::<bool>() + size_of::<i32>()
}

/// One figure of each kind per round.
#[derive(Default)]
struct Costs {
    /// Bytes asked of the allocator, per row.
    bytes: Samples,
    /// Bytes on the wire, per row.
    wire: Samples,
    /// Bytes beyond the cells, per entry.
    fixed: Samples,
    /// Live allocations, per entry.
    allocations: Samples,
    /// What the cache thinks it holds, per row.
    weighed: Samples,
}

impl Costs {
    /// Reads one answer for each key, and counts those of `keys`.
    async fn measure(
        &mut self,
        db: &Db,
        before: std::ops::Range<i32>,
        keys: std::ops::Range<i32>,
        rows: i32,
    ) -> Result<()> {
        for key in before.clone() {
            read(db, rows, key).await?;
        }
        let weight_before = db.stats().cache.tiers[Tier::L1.index()].bytes;
        let entries = i32::try_from(keys.len())?;
        let (payload, tally) = allocations::count(async {
            let mut payload = 0;
            for key in keys.clone() {
                payload += read(db, rows, key).await?;
            }
            anyhow::Ok(payload)
        })
        .await;
        let tier = &db.stats().cache.tiers[Tier::L1.index()];
        let kept = before.len() + keys.len();
        ensure!(tier.entries == kept as u64, "{} of {kept} answers are there", tier.entries);

        #[expect(clippy::cast_precision_loss, reason = "megabytes are far below 52 bits")]
        let [payload, weight] = [payload? as f64, (tier.bytes - weight_before) as f64];
        let each = tally.per(entries);
        let (entries, rows) = (f64::from(entries), f64::from(rows));
        #[expect(clippy::cast_precision_loss, reason = "a few dozen bytes")]
        let header = (ROW_HEADER + COLUMNS * CELL_HEADER) as f64;
        self.bytes.push(each.live_bytes / rows);
        self.wire.push(payload / entries / rows + header);
        self.fixed.push(each.live_bytes - payload / entries);
        self.allocations.push(each.live);
        self.weighed.push(weight / entries / rows);
        Ok(())
    }
}
