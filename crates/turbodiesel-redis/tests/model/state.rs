//! One state of the model: a database with a replica, the store, some writers and readers.
//!
//! Stamps are only ever compared for equality, so states that differ in nothing but their numbers are
//! one: [`State::normalize`] numbers them anew.

use crate::{
    program::WriterKind,
    protocol::{self, Ending, Part, Sight, Verdict},
};

pub(crate) const TABLES: usize = 2;
pub(crate) const TAGS: usize = 6;
pub(crate) const QUERIES: usize = 4;
pub(crate) const WRITERS: usize = 3;
pub(crate) const READERS: usize = 3;

/// The tags of a table `a` with a pin column `k`, and of a table `b` with one, on another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tags(u8);

impl Tags {
    pub(crate) const NONE: Tags = Tags(0);
    pub(crate) const A: Tags = Tags(1);
    /// `a/k=*`
    pub(crate) const ANY: Tags = Tags(2);
    /// `a/k=1`
    pub(crate) const ONE: Tags = Tags(4);
    /// `a/k=2`
    pub(crate) const TWO: Tags = Tags(8);
    /// `b/k=*`
    pub(crate) const ANY_B: Tags = Tags(16);
    /// `b/k=1`
    pub(crate) const ONE_B: Tags = Tags(32);

    pub(crate) const fn and(self, other: Tags) -> Tags {
        Tags(self.0 | other.0)
    }

    pub(crate) const fn meets(self, other: Tags) -> bool {
        self.0 & other.0 != 0
    }

    /// Those of one table.
    pub(crate) const fn of(self, table: usize) -> Tags {
        Tags(self.0 & if table == 0 { 15 } else { 48 })
    }

    pub(crate) fn indices(self) -> impl Iterator<Item = usize> + Clone {
        (0..TAGS).filter(move |tag| self.0 & (1 << tag) != 0)
    }
}

/// The queries: of the whole table `a`, of its rows with `k = 1` and with `k = 2`, and of those with
/// `k = 1` in both tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Query {
    #[default]
    Whole,
    One,
    Two,
    Both,
}

impl Query {
    pub(crate) const ALL: [Query; QUERIES] = [Query::Whole, Query::One, Query::Two, Query::Both];

    pub(crate) const fn tags(self) -> Tags {
        match self {
            Query::Whole => Tags::A,
            Query::One => Tags::ONE.and(Tags::ANY),
            Query::Two => Tags::TWO.and(Tags::ANY),
            Query::Both => Query::One.tags().and(Tags::ANY_B).and(Tags::ONE_B),
        }
    }
}

/// What a write turns out to have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Effect {
    TouchesOne,
    TouchesTwo,
    /// Moves a row from `k = 1` to `k = 2`.
    Moves,
    /// Touches `k = 1` in table `b` alone.
    TouchesB,
    /// Touches `k = 1` in both tables.
    TouchesBoth,
}

impl Effect {
    pub(crate) fn changes(self, query: Query) -> bool {
        match query {
            Query::Whole => self.touched().of(0) != Tags::NONE,
            Query::One => self.touched().meets(Tags::ONE),
            Query::Two => self.touched().meets(Tags::TWO),
            Query::Both => self.touched().meets(Tags::ONE.and(Tags::ONE_B)),
        }
    }

    const fn touched(self) -> Tags {
        match self {
            Effect::TouchesOne => Tags::ONE,
            Effect::TouchesTwo => Tags::TWO,
            Effect::Moves => Tags::ONE.and(Tags::TWO),
            Effect::TouchesB => Tags::ONE_B,
            Effect::TouchesBoth => Tags::ONE.and(Tags::ONE_B),
        }
    }
}

/// An answer, represented by the number of writes that it reflects. So is a position in the log.
pub(crate) type Value = u8;

/// The name of a stamp; 0 is that of none.
pub(crate) type Stamp = u8;

/// The stamps of a query's tags, in order.
pub(crate) type Stamps = [Stamp; 4];

/// A stamp that nothing has any more, nor ever will.
const GONE: Stamp = 63;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) stamps: Stamps,
    /// From before any writer began.
    pub(crate) early: bool,
}

/// What the store holds, but for marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Store {
    pub(crate) stamps: [Stamp; TAGS],
    pub(crate) born: [Stamp; TABLES],
    pub(crate) entries: [Option<Entry>; QUERIES],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    #[default]
    Beginning,
    /// Something was sent that may commit, and its outcome is not known to the writer.
    InFlight,
    Ending(Ending),
    Over,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Writer {
    pub(crate) stage: Stage,
    /// How many moves of the stage were made.
    pub(crate) moves: u8,
    pub(crate) effect: Option<Effect>,
    /// What the answers were when it had committed.
    pub(crate) landed: [Value; QUERIES],
    /// The writer is gone, and its commit may still land.
    pub(crate) may_land: bool,
    /// In which records its mark is.
    pub(crate) marked: [bool; TABLES],
}

/// What a reader saw of the marks of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Look {
    pub(crate) founded: bool,
    pub(crate) marked: bool,
}

impl Default for Look {
    /// Of a record that does not matter.
    fn default() -> Self {
        Self { founded: true, marked: false }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reader {
    /// How many reads it has begun.
    pub(crate) reads: u8,
    pub(crate) asks: bool,
    pub(crate) query: Query,
    /// How many moves of the read were made.
    pub(crate) moves: u8,
    pub(crate) stamps: Stamps,
    pub(crate) looks: [Look; TABLES],
    /// The connection was lost while it looked.
    pub(crate) broken: bool,
    pub(crate) position: Option<Value>,
    pub(crate) entry: Option<Entry>,
    pub(crate) judged: bool,
    pub(crate) keep: bool,
    pub(crate) replayed: Option<Value>,
    pub(crate) value: Value,
    /// What was acknowledged when the read started.
    pub(crate) acknowledged: Value,
    /// The newest value that had been returned when the read started.
    pub(crate) seen: Value,
    /// No writer had begun when it looked.
    pub(crate) early: bool,
}

impl Reader {
    /// The reader once its read is over.
    pub(crate) fn idle(self) -> Self {
        Self { reads: self.reads, ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) database: [Value; QUERIES],
    /// How far the replica has replayed, of the writes to table `a`.
    pub(crate) replica: Value,
    pub(crate) acknowledged: [Value; QUERIES],
    /// The newest that a reader has got.
    pub(crate) seen: [Value; QUERIES],
    pub(crate) store: Store,
    /// What a failover goes back to.
    pub(crate) synced: Store,
    pub(crate) founded: [bool; TABLES],
    /// A mark that is nobody's, over the whole table.
    pub(crate) nobodys: [bool; TABLES],
    /// The furthest position that was told.
    pub(crate) position: Option<Value>,
    /// How many things have gone wrong with the store.
    pub(crate) faults: u8,
    pub(crate) writers: [Writer; WRITERS],
    pub(crate) readers: [Reader; READERS],
    /// Somebody got an answer older than what was acknowledged before he asked.
    pub(crate) read_stale: bool,
    /// Somebody got an answer older than what another had got before he asked.
    pub(crate) went_back: bool,
}

impl State {
    /// A stamp that nothing has had before. Numbers are few because [`normalize`](Self::normalize)
    /// takes back those that are not in use.
    pub(crate) fn nonce(&mut self) -> Stamp {
        self.stamps().map(|stamp| *stamp).filter(|stamp| *stamp != GONE).max().unwrap_or(0) + 1
    }

    /// The stamps of a query's tags as they are now.
    pub(crate) fn stamps_of(&self, query: Query) -> Stamps {
        let mut kept = Stamps::default();
        for (place, tag) in kept.iter_mut().zip(query.tags().indices()) {
            let Store { stamps, born, .. } = &self.store;
            let some = |stamp: Stamp| Some(stamp).filter(|stamp| *stamp != 0);
            let stamp = protocol::stamp(some(stamps[tag]), some(born[table_of(tag)]));
            *place = stamp.unwrap_or(0);
        }
        kept
    }

    /// What a reader of this query sees of the marks of a table's record.
    pub(crate) fn look(&self, kinds: &[WriterKind], query: Query, table: usize) -> Look {
        let tags = query.tags().of(table);
        if tags == Tags::NONE {
            return Look::default();
        }
        let covers = |(writer, kind): (&Writer, &WriterKind)| {
            writer.marked[table] && kind.certain.and(kind.expected).meets(tags)
        };
        let marked = self.nobodys[table] || self.writers.iter().zip(kinds).any(covers);
        Look { founded: self.founded[table], marked }
    }

    /// The entry that a reader who looks at everything at once would be shown.
    pub(crate) fn believed(&self, kinds: &[WriterKind], query: Query) -> Option<Entry> {
        let entry = self.store.entries[query as usize]?;
        let looks = [0, 1].map(|table| self.look(kinds, query, table));
        let verdict = judge(query, self.stamps_of(query), looks, None, Some(entry));
        (verdict == Verdict::Hit).then_some(entry)
    }

    fn stamps(&mut self) -> impl Iterator<Item = &mut Stamp> {
        let Self { store, synced, readers, .. } = self;
        let stores = [store, synced].into_iter().flat_map(|store| {
            let entries = store.entries.iter_mut().flatten().flat_map(|entry| &mut entry.stamps);
            store.stamps.iter_mut().chain(&mut store.born).chain(entries)
        });
        let readers = readers.iter_mut().flat_map(|reader| {
            reader.stamps.iter_mut().chain(reader.entry.iter_mut().flat_map(|e| &mut e.stamps))
        });
        stores.chain(readers)
    }

    /// Makes one of all states that behave alike.
    pub(crate) fn normalize(&mut self) {
        for writer in &mut self.writers {
            if writer.stage == Stage::Over {
                // What it did matters no more, only what it has left.
                let Writer { stage, may_land, marked, .. } = *writer;
                *writer = Writer { stage, may_land, marked, ..Writer::default() };
            }
        }
        // A stamp that no record has will never be current again.
        let mut there = [false; 64];
        for Store { stamps, born, .. } in [&self.store, &self.synced] {
            stamps.iter().chain(born).for_each(|stamp| there[usize::from(*stamp)] = true);
        }
        there[0] = true;
        for stamp in self.stamps() {
            if !there[usize::from(*stamp)] {
                *stamp = GONE;
            }
        }
        for entry in [&mut self.store, &mut self.synced].into_iter().flat_map(|s| &mut s.entries) {
            if entry.is_some_and(|entry| entry.stamps.contains(&GONE)) {
                *entry = None;
            }
        }
        let mut names = [0; 64];
        names[usize::from(GONE)] = GONE;
        let mut used = 0;
        for stamp in self.stamps() {
            let name = &mut names[usize::from(*stamp)];
            if *stamp != 0 && *name == 0 {
                used += 1;
                *name = used;
            }
            *stamp = *name;
        }
    }
}

pub(crate) const fn table_of(tag: usize) -> usize {
    if tag < 4 { 0 } else { 1 }
}

/// The protocol's own judgement of what was found.
pub(crate) fn judge(
    query: Query,
    stamps: Stamps,
    looks: [Look; TABLES],
    position: Option<Value>,
    entry: Option<Entry>,
) -> Verdict<Value> {
    let found = stamps.map(|stamp| Some(stamp).filter(|stamp| *stamp != 0));
    let tags = query.tags().indices().count();
    let (first, second) = found[..tags].split_at(query.tags().of(0).indices().count());
    let sight = |stamps, look: Look| {
        let Look { founded, marked } = look;
        Sight { stamps, founded, marked, position }
    };
    let sights = [sight(first, looks[0]), sight(second, looks[1])];
    protocol::judge(&sights, entry.as_ref().map(|entry| &entry.stamps[..tags]))
}

impl Writer {
    /// The tags of one part of the write; those that it touched are known once it has landed.
    pub(crate) fn tags(&self, kind: &WriterKind, part: Part) -> Tags {
        match part {
            Part::Certain => kind.certain,
            Part::Expected => kind.expected,
            Part::Touched => self.effect.map_or(Tags::NONE, Effect::touched),
        }
    }
}
