//! A database of one number, its readers and its writers.

use std::{pin::pin, sync::Arc, task::Context, time::Duration};

use futures_util::{future::FutureExt, task::noop_waker_ref};
use shuttle::{
    future::block_on,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};
use turbodiesel_core::{Fingerprint, ManualClock, TableName, Tag, Tier, Weigh};

use crate::{
    Cache, Follow, Followed, Key, Lead, Lookup, Read, Role, Slot, Stamps, StampsOptions,
    TierOptions, WriteMark,
};

/// How long after a lost outcome a write may land.
pub(super) const LIFETIME: Duration = Duration::from_secs(1);

/// What the database answered: how many writes had landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answer(u64);

impl Weigh for Answer {
    fn weight(&self) -> usize {
        8
    }
}

pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) stamps: Arc<Stamps>,
    cache: Cache<Answer, ()>,
    /// What any write changes.
    pub(super) table: Slot,
    /// What a write changes that touches the value the query is pinned to.
    pub(super) value: Slot,
    /// What a write changes that cannot tell which values it touched.
    pub(super) any_value: Slot,
    /// What the one query depends on.
    pub(super) slots: Vec<Slot>,
    /// How many writes have landed,
    pub(super) database: AtomicU64,
    /// the newest that a writer was told of,
    acknowledged: AtomicU64,
    /// and the newest that a reader was shown.
    shown: AtomicU64,
}

/// What a reader does where it has a choice.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conduct {
    /// Waits, and completes what it leads.
    Steady,
    /// Gives up the first load that it leads, and asks again.
    Vanishing,
    /// Wants an answer of its own, read later than it came.
    Picky,
    /// Leads a load that fails.
    Failing,
    /// Leads a load that cannot be shared.
    Unsharing,
    /// Waits a little and then leaves.
    Impatient,
}

impl World {
    /// Where the query reads the whole table.
    pub(super) fn new() -> Arc<Self> {
        Self::with(|world| world.slots = vec![world.table])
    }

    /// Where the query reads the rows with a certain value.
    pub(super) fn pinned() -> Arc<Self> {
        Self::with(|world| world.slots = vec![world.value, world.any_value])
    }

    fn with(configure: impl FnOnce(&mut Self)) -> Arc<Self> {
        let clock = Arc::new(ManualClock::default());
        let stamps = Stamps::new(clock.clone(), StampsOptions { tables: 3, hashed: 1 });
        // Small, because there is a new world for every schedule.
        let options = |tier| TierOptions {
            capacity_bytes: 8_192,
            refresh_beta: 0.0,
            ..TierOptions::default_for(tier)
        };
        let cache = Tier::ALL
            .into_iter()
            .fold(Cache::builder(), |builder, tier| builder.tier(tier, options(tier)))
            .jitter(0.0)
            .max_entry_bytes(1_024)
            .stamps(Arc::clone(&stamps))
            .build()
            .expect("the budgets are large enough");
        // Slots that no other has, whatever they stand for.
        let [table, value, any_value] = ["table", "value", "any value"]
            .map(|name| stamps.slot(&Tag::Table(TableName::unqualified(name))));
        let slots = Vec::new();
        let [database, acknowledged, shown] = [(); 3].map(|()| AtomicU64::new(0));
        let mut world = Self {
            clock,
            stamps,
            table,
            value,
            any_value,
            cache,
            slots,
            database,
            acknowledged,
            shown,
        };
        configure(&mut world);
        Arc::new(world)
    }

    /// A reader in a thread of its own.
    pub(super) fn reads(self: &Arc<Self>, conduct: Conduct) -> thread::JoinHandle<()> {
        self.spawn(move |world| world.read(conduct))
    }

    pub(super) fn spawn(
        self: &Arc<Self>,
        run: impl FnOnce(&Self) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || run(&world))
    }

    /// A write that goes well.
    pub(super) fn write(&self) {
        self.commit(self.stamps.begin_write([self.table], LIFETIME));
    }

    /// The rest of a write that goes well.
    pub(super) fn commit(&self, mark: WriteMark) {
        let landed = self.land();
        mark.committed();
        self.acknowledged.fetch_max(landed, SeqCst);
    }

    /// A write that goes well and learns which values it touched.
    pub(super) fn write_exactly(&self) {
        self.commit_exactly(self.learn());
    }

    /// Begins a write that is to learn which values it touched.
    pub(super) fn learn(&self) -> WriteMark {
        let mut mark = self.stamps.begin_write([self.table], LIFETIME);
        mark.expect([self.any_value]);
        mark
    }

    /// The rest of a write that goes well and learns which values it touched.
    pub(super) fn commit_exactly(&self, mark: WriteMark) {
        let landed = self.land();
        mark.committed_exactly([self.value]);
        self.acknowledged.fetch_max(landed, SeqCst);
    }

    /// A write lands in the database.
    pub(super) fn land(&self) -> u64 {
        self.database.fetch_add(1, SeqCst) + 1
    }

    /// Reads, and is shown what was acknowledged and what others had been shown before it came.
    pub(super) fn read(&self, conduct: Conduct) {
        self.watch(|world| world.answer(conduct));
    }

    /// Reads on a connection of its own, which shares with nobody.
    pub(super) fn read_alone(&self) {
        self.watch(|world| {
            let snapshot = world.stamps.snapshot(world.slots.iter().copied());
            let answer = world.ask();
            world.cache.fill(&world.query(), snapshot, answer);
            Some(answer)
        });
    }

    /// The rest of a read that has begun to lead a load.
    pub(super) fn load(&self, lead: Lead<Answer, ()>) {
        self.watch(|world| Some(*block_on(lead.complete(world.ask()).value())));
    }

    /// Begins to lead a load, before anybody else does.
    pub(super) fn lead(&self) -> Lead<Answer, ()> {
        match self.cache.join(&self.query()) {
            Role::Lead(lead) => lead,
            Role::Follow(_) => panic!("somebody else leads"),
        }
    }

    fn watch(&self, read: impl FnOnce(&Self) -> Option<Answer>) {
        let acknowledged = self.acknowledged.load(SeqCst);
        let shown = self.shown.load(SeqCst);
        let Some(Answer(answer)) = read(self) else { return };
        assert!(answer >= acknowledged, "{answer} after {acknowledged} was acknowledged");
        assert!(answer >= shown, "{answer} after {shown} was shown");
        self.shown.fetch_max(answer, SeqCst);
    }

    fn answer(&self, conduct: Conduct) -> Option<Answer> {
        let mut query = self.query();
        if matches!(conduct, Conduct::Picky) {
            query.max_age = Some(Duration::ZERO);
        }
        if let Lookup::Hit { value, .. } = self.cache.lookup(&query) {
            return Some(*value);
        }
        let mut vanished = false;
        loop {
            let lead = match self.cache.join(&query) {
                Role::Lead(lead) => lead,
                Role::Follow(follow) if matches!(conduct, Conduct::Impatient) => {
                    return leave(follow);
                }
                Role::Follow(follow) => match block_on(follow.wait()) {
                    Followed::Value(value) => return Some(*value),
                    Followed::Failed(()) | Followed::Unshared => return None,
                    Followed::Lead(lead) => lead,
                },
            };
            let answer = self.ask();
            match conduct {
                Conduct::Vanishing if !vanished => {
                    vanished = true;
                    drop(lead);
                }
                Conduct::Failing => {
                    lead.fail(());
                    return None;
                }
                Conduct::Unsharing => {
                    lead.unshared();
                    return None;
                }
                _ => return Some(*block_on(lead.complete(answer).value())),
            }
        }
    }

    fn query(&self) -> Read<'_> {
        let key = Key { fingerprint: Fingerprint(7), identity: b"query" };
        Read { key, slots: &self.slots, tier: Tier::L1, max_age: None }
    }

    fn ask(&self) -> Answer {
        Answer(self.database.load(SeqCst))
    }

    /// What the cache still holds.
    pub(super) fn kept(&self) -> Option<u64> {
        match self.cache.lookup(&self.query()) {
            Lookup::Hit { value, .. } => Some(value.0),
            _ => None,
        }
    }

    /// Once nobody reads or writes any more: no load is left over, and what is still served is right.
    pub(super) fn settle(&self) {
        assert_eq!(self.cache.stats().flights, 0, "a flight is left over");
        if let Some(kept) = self.kept() {
            assert_eq!(kept, self.database.load(SeqCst), "a stale answer stays");
        }
    }
}

/// Looks once and does not wait.
fn leave(follow: Follow<Answer, ()>) -> Option<Answer> {
    let mut waiting = pin!(follow.wait());
    thread::yield_now();
    match waiting.poll_unpin(&mut Context::from_waker(noop_waker_ref())) {
        std::task::Poll::Ready(Followed::Value(value)) => Some(*value),
        // A lead that was won on the way out is given up like any other.
        _ => {
            thread::yield_now();
            None
        }
    }
}

pub(super) fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().expect("a thread that panics fails the test at once");
    }
}

/// Runs `test` under many schedules.
pub(super) fn check(test: fn()) {
    let schedules = std::env::var("TURBODIESEL_SCHEDULES")
        .ok()
        .map_or(1_500, |schedules| schedules.parse().expect("TURBODIESEL_SCHEDULES is a number"));
    // Uniform steps find what takes many changes of thread, few preemptions what takes long runs.
    shuttle::check_random(test, schedules);
    shuttle::check_urw(test, schedules);
    shuttle::check_pct(test, schedules, 4);
}
