//! When did anything that an answer depends on change last?
//!
//! A *slot* stands for a tag. Time here is a logical clock that ticks at every snapshot and at every
//! change: a slot's *stamp* is the tick of its last change, an answer's *version* is the tick of the
//! snapshot that was taken before it was read. So an answer is current exactly while none of its
//! slots carries a stamp above its version, and one number per answer is all that must be kept.
//!
//! # The protocol, and why each order matters
//!
//! ```text
//! reader:  tick (R1) · look for marks (R2) · read the database · fill
//! writer:  mark (W1) · tick, stamp (W2) · commit · tick, stamp (W3) · lift the mark (W4) · acknowledge
//! ```
//!
//! - **R1 before the read.** A reader whose tick comes before W3's keeps a version that W3's stamp
//!   exceeds, so nothing it read is served after the write was acknowledged. A reader whose tick
//!   comes after W3's reads after the commit.
//! - **R1 before R2.** The commit may land long after its writer lost the outcome and said its last
//!   word. A reader must have ticked before that word, and its stamp ends the answer, or see the mark
//!   that was left, and not fill. A reader that looked for marks first could miss both.
//! - **W2 before the commit, W3 before the acknowledgement.** W2 ends what was kept before. Between
//!   the two, flights of other readers may carry an answer from before the commit; whoever comes
//!   after the acknowledgement finds a stamp that keeps it from joining them.
//! - **W1 before W2, W3 before W4.** So a reader always finds the mark or has its answer ended, and
//!   never neither. Were W2 before W1, what was read after a snapshot between the two would be kept,
//!   be it from before the commit or after, and values could go back. W4 before W3 would be harmless
//!   within one process; this order keeps the safety of an answer from resting on how a later step
//!   goes.
//! - **What a writer expects** to change, without knowing which values before it has committed, is
//!   neither marked nor stamped beforehand: W3 stamps the values that it turned out to be, or else
//!   all that it might have been. Until then an answer that the write touches is served and kept as
//!   if the write came after its acknowledgement, which is when it has to be seen; and W3 comes, as
//!   a writer that ends in any other way says its last word for it. Between the commit and W3, though,
//!   nothing tells who has read more, not even who began to read later. So such a writer announces
//!   itself before anything is sent, and withdraws after W3; meanwhile nothing is kept beside which
//!   another answer was shown. Were it to withdraw before W3, two answers that overlapped its commit
//!   would look as if nothing could tell them apart but their ticks.
//! - **A writer that ends without an outcome** puts a deadline on its marks before it lifts its own
//!   (see [`WriteMark`]), and R2 looks for writers first and for deadlines second: a reader that
//!   comes too late to count the writer comes early enough to see the deadline. A [`Doubt`], which
//!   stands in for the deadline while somebody finds the outcome out, is looked for between the two.
//!
//! The steps of writers are data, in `protocol`, and the model under `tests/model` visits every order
//! of theirs and the readers', and of others that must not do.
//!
//! The stamp of a slot is stored a moment after the tick it carries. That is harmless: the tick is
//! the instant at which the change takes effect for new snapshots, and the store, which ends older
//! answers, still comes before the writer goes on to its next step.
//!
//! Every access is `SeqCst`, because R2 must not move before R1, nor W2 before W1: these are a store
//! followed by a load of another location, which nothing weaker keeps in order. Loads, the only
//! operations on the path of a hit, cost the same as weaker ones on common hardware.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash},
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use foldhash::quality::RandomState;
use parking_lot::RwLock;
use turbodiesel_core::{Clock, Nanos, PinRef, TableName, Tag};

use crate::{
    WriteMark,
    protocol::{Marked, is_current},
    sync::{AtomicU32, AtomicU64},
};

/// How many places count the writes that are to learn what they touched.
const LEARNERS: usize = 1_024;

/// The place where the stamp of a tag is kept, valid for the [`Stamps`] that handed it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// The slot of [`Tag::All`]. Every answer depends on it without naming it.
    pub const ALL: Slot = Slot(0);

    /// A number that no other slot of the same [`Stamps`] has, to tell slots apart in an identity.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The slots of one column's tags: of any value in it, and where those of single values are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSlots {
    any: Slot,
    seed: u64,
}

impl ColumnSlots {
    /// The slot of [`Tag::Column`].
    #[must_use]
    pub fn any(self) -> Slot {
        self.any
    }
}

/// How many slots there are.
#[derive(Clone, Copy, Debug)]
pub struct StampsOptions {
    /// Tables with a slot of their own. Further tables share the hashed slots. Defaults to 4,096.
    pub tables: u32,
    /// Slots that columns, values and further tables are hashed to. Defaults to 262,144 (6 MiB), and
    /// is at least 1. A write ends one answer in so many by chance for each slot that it changes.
    pub hashed: u32,
}

impl Default for StampsOptions {
    fn default() -> Self {
        Self { tables: 4_096, hashed: 1 << 18 }
    }
}

/// The state of all slots as one reader found it before it read the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    started: Nanos,
    version: u64,
    marks: Marked,
}

impl Snapshot {
    /// When the read started. Ages are counted from here.
    #[must_use]
    pub fn started(&self) -> Nanos {
        self.started
    }

    /// Whether a write to one of the slots was in flight, or its outcome was not known.
    ///
    /// What was read then may be shared with readers who also came before the next change, but must
    /// not be kept.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        !self.marks.may_keep()
    }

    /// Whether a write was in flight, and all others had told their outcome. Then nothing can commit
    /// unseen, so what was read stays right until a stamp changes.
    pub(crate) fn is_marked_by_writers_alone(&self) -> bool {
        self.marks.may_linger()
    }

    /// The tick at which it was taken. No two snapshots share one.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

/// Writes in flight on one slot.
#[derive(Debug, Default)]
struct Marks {
    /// Writers that are still there to tell the outcome.
    writers: AtomicU32,
    /// Writes whose outcome somebody is finding out.
    doubts: AtomicU32,
    /// In nanoseconds: writers that left without an outcome may still commit until then.
    held_until: AtomicU64,
}

/// The stamps of all tags, shared by the caches and the writers of one database.
///
/// ```
/// use std::sync::Arc;
/// use turbodiesel_cache::{Stamps, StampsOptions};
/// use turbodiesel_core::{MonotonicClock, TableName, Tag};
///
/// let stamps = Stamps::new(Arc::new(MonotonicClock), StampsOptions::default());
/// let orders = stamps.slot(&Tag::Table(TableName::unqualified("orders")));
/// let before = stamps.snapshot([orders]);
/// assert!(stamps.is_current(&before, &[orders]));
/// stamps.change([orders]);
/// assert!(!stamps.is_current(&before, &[orders]));
/// ```
///
/// # Panics
///
/// Methods that take a [`Slot`] panic if other `Stamps`, with more slots, handed it out.
pub struct Stamps {
    clock: Arc<dyn Clock>,
    ticks: AtomicU64,
    /// One for [`Slot::ALL`], then those of the tables, then the hashed ones.
    ///
    /// Packed rather than padded: a hit reads several of them, and writes are rare.
    stamps: Box<[AtomicU64]>,
    marks: Box<[Marks]>,
    /// Writes in flight that are to learn what they touched, by a few bits of the slots that they
    /// expect. Two slots that share a place only make readers more careful.
    learners: Box<[AtomicU32]>,
    tables: RwLock<HashMap<TableName, Slot>>,
    options: StampsOptions,
    /// Seeded, so that nobody can choose values that fall on one slot. They would gain no more by it
    /// than misses, which a faster hash is worth: a hit computes one for each place that it pins.
    hash: RandomState,
}

impl Stamps {
    /// Stamps with nothing changed yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, options: StampsOptions) -> Arc<Self> {
        let options = StampsOptions { hashed: options.hashed.max(1), ..options };
        let slots = 1 + options.tables as usize + options.hashed as usize;
        Arc::new(Self {
            clock,
            ticks: AtomicU64::new(0),
            stamps: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            marks: (0..slots).map(|_| Marks::default()).collect(),
            learners: (0..slots.min(LEARNERS)).map(|_| AtomicU32::new(0)).collect(),
            tables: RwLock::default(),
            options,
            hash: RandomState::default(),
        })
    }

    /// The slot of a tag.
    ///
    /// Two tags may share a slot, which only invalidates too much.
    #[must_use]
    pub fn slot(&self, tag: &Tag) -> Slot {
        match tag {
            Tag::All => Slot::ALL,
            Tag::Table(table) => self.table_slot(table).unwrap_or_else(|| self.hashed_slot(table)),
            Tag::Column { table, column } => self.column(table, column).any,
            Tag::Value { table, column, value } => {
                self.value_slot(self.column(table, column), value.borrowed())
            }
        }
    }

    /// The slots of a column's tags, so that those of its values need not name it each time.
    #[must_use]
    pub fn column(&self, table: &TableName, column: &str) -> ColumnSlots {
        let name = (table, column);
        ColumnSlots { any: self.hashed_slot(name), seed: self.hash.hash_one((name, "values")) }
    }

    /// The slot of [`Tag::Value`].
    #[must_use]
    #[inline]
    pub fn value_slot(&self, column: ColumnSlots, value: PinRef<'_>) -> Slot {
        self.hashed_slot((column.seed, value))
    }

    /// The slot of a table's own, `None` once they are used up. A table's slot never changes: none
    /// is ever given back, so a table that found none finds none later.
    fn table_slot(&self, table: &TableName) -> Option<Slot> {
        if let Some(&slot) = self.tables.read().get(table) {
            return Some(slot);
        }
        let mut tables = self.tables.write();
        if let Some(&slot) = tables.get(table) {
            return Some(slot);
        }
        let next = u32::try_from(tables.len()).ok().filter(|&next| next < self.options.tables)?;
        let slot = Slot(1 + next);
        tables.insert(table.clone(), slot);
        Some(slot)
    }

    #[inline]
    fn hashed_slot(&self, tag: impl Hash) -> Slot {
        // Scales the hash to the number of slots, as a remainder would, without a division.
        let offset = (u128::from(self.hash.hash_one(tag)) * u128::from(self.options.hashed)) >> 64;
        Slot(1 + self.options.tables + u32::try_from(offset).expect("below a u32"))
    }

    /// Takes note of the state of `slots` and [`Slot::ALL`], before reading the database.
    #[must_use]
    pub fn snapshot(&self, slots: impl IntoIterator<Item = Slot>) -> Snapshot {
        // The time first: an age must never be counted from after the read. It also decides which
        // deadlines have passed, and an earlier present only keeps a mark longer.
        let started = self.clock.now();
        let version = self.tick();
        let marks = slots.into_iter().fold(self.marked(Slot::ALL, started), |marks, slot| {
            let Marked { written, held } = self.marked(slot, started);
            Marked { written: marks.written | written, held: marks.held | held }
        });
        Snapshot { started, version, marks }
    }

    /// Whether nothing that depends on `slots` changed since the snapshot was taken.
    #[must_use]
    pub fn is_current(&self, snapshot: &Snapshot, slots: &[Slot]) -> bool {
        self.is_version_current(snapshot.version, slots)
    }

    /// Ends the validity of every answer that depends on one of `slots`, at once.
    pub fn change(&self, slots: impl IntoIterator<Item = Slot>) {
        let version = self.tick();
        for slot in slots {
            // The maximum, because a writer with a later tick may have been here first.
            self.stamps[slot.index()].fetch_max(version, SeqCst);
        }
    }

    /// How many slots there are. [`Slot::number`] is below it.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.stamps.len()
    }

    /// Which of `slots` or [`Slot::ALL`] changed last, `None` if none ever did.
    #[must_use]
    pub fn last_changed(&self, slots: &[Slot]) -> Option<Slot> {
        let stamp = |slot: &Slot| self.stamps[slot.index()].load(SeqCst);
        let last = slots.iter().copied().chain([Slot::ALL]).max_by_key(stamp)?;
        (stamp(&last) > 0).then_some(last)
    }

    /// Marks `slots` as being written and then changes them. Called before anything is sent that
    /// may commit.
    ///
    /// `lifetime` is how long after a lost outcome the database may still commit: more than its
    /// `statement_timeout`.
    pub fn begin_write(
        self: &Arc<Self>,
        slots: impl IntoIterator<Item = Slot>,
        lifetime: Duration,
    ) -> WriteMark {
        WriteMark::new(Arc::clone(self), slots.into_iter().collect(), lifetime)
    }

    /// The clock that times entries and marks.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Advances the logical clock. Nothing else has the tick that is returned.
    pub(crate) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, SeqCst) + 1
    }

    #[inline]
    pub(crate) fn is_version_current(&self, version: u64, slots: &[Slot]) -> bool {
        let unchanged = |slot: Slot| is_current(self.stamps[slot.index()].load(SeqCst), version);
        unchanged(Slot::ALL) && slots.iter().copied().all(unchanged)
    }

    fn marked(&self, slot: Slot, now: Nanos) -> Marked {
        let marks = &self.marks[slot.index()];
        // Writers first: one that leaves without an outcome leaves a doubt or sets its deadline before
        // it leaves. Then doubts: one that nobody settles sets its deadline before it ends.
        let written = marks.writers.load(SeqCst) > 0;
        let doubted = marks.doubts.load(SeqCst) > 0;
        let held = doubted || marks.held_until.load(SeqCst) > now.0;
        Marked { written, held }
    }

    /// Whether a writer of one of `slots` is still there to tell the outcome.
    pub(crate) fn is_written(&self, slots: &[Slot]) -> bool {
        let written = |slot: Slot| self.marks[slot.index()].writers.load(SeqCst) > 0;
        written(Slot::ALL) || slots.iter().copied().any(written)
    }

    /// Whether a write in flight is to learn whether it touched one of `slots`: it may have committed,
    /// and nothing has ended what was read before.
    pub(crate) fn is_expected(&self, slots: &[Slot]) -> bool {
        // Nobody expects `Slot::ALL`: a write that may touch everything marks it.
        slots.iter().any(|slot| self.learners_of(*slot).load(SeqCst) > 0)
    }

    pub(crate) fn announce(&self, slots: &[Slot]) {
        for slot in slots {
            self.learners_of(*slot).fetch_add(1, SeqCst);
        }
    }

    pub(crate) fn withdraw(&self, slots: &[Slot]) {
        for slot in slots {
            self.learners_of(*slot).fetch_sub(1, SeqCst);
        }
    }

    fn learners_of(&self, slot: Slot) -> &AtomicU32 {
        &self.learners[slot.index() % self.learners.len()]
    }

    pub(crate) fn mark(&self, slots: &[Slot]) {
        for slot in slots {
            self.marks[slot.index()].writers.fetch_add(1, SeqCst);
        }
    }

    pub(crate) fn unmark(&self, slots: &[Slot]) {
        for slot in slots {
            self.marks[slot.index()].writers.fetch_sub(1, SeqCst);
        }
    }

    pub(crate) fn doubt(&self, slots: &[Slot]) {
        for slot in slots {
            self.marks[slot.index()].doubts.fetch_add(1, SeqCst);
        }
    }

    pub(crate) fn end_doubt(&self, slots: &[Slot]) {
        for slot in slots {
            self.marks[slot.index()].doubts.fetch_sub(1, SeqCst);
        }
    }

    /// Keeps `slots` marked for `lifetime`, whoever else marks them.
    pub(crate) fn hold(&self, slots: &[Slot], lifetime: Duration) {
        // The clock may lag behind now and be exact later, which would cut the deadline short.
        let deadline = self.clock.now().plus(lifetime).plus(self.clock.resolution());
        for slot in slots {
            self.marks[slot.index()].held_until.fetch_max(deadline.0, SeqCst);
        }
    }
}

impl fmt::Debug for Stamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stamps")
            .field("clock", &self.clock)
            .field("ticks", &self.ticks)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
