//! One state of the model: a database, the stamps and entries of one cache, some writers and readers.
//!
//! Ticks only ever meet each other in comparisons, so states that differ in nothing but the distances
//! between ticks are one: [`State::normalize`] numbers them anew.

use crate::{
    program::WriterKind,
    protocol::{Ending, Marked, Part, is_current},
};

pub(crate) const QUERIES: usize = 3;
pub(crate) const SLOTS: usize = 4;
pub(crate) const WRITERS: usize = 2;
pub(crate) const READERS: usize = 3;

/// The slots of the tags of a table `t` with a pin column `k`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slots(u8);

impl Slots {
    pub(crate) const NONE: Slots = Slots(0);
    pub(crate) const TABLE: Slots = Slots(1);
    /// `t/k=*`
    pub(crate) const ANY: Slots = Slots(2);
    /// `t/k=1`
    pub(crate) const ONE: Slots = Slots(4);
    /// `t/k=2`
    pub(crate) const TWO: Slots = Slots(8);

    pub(crate) const fn and(self, other: Slots) -> Slots {
        Slots(self.0 | other.0)
    }

    pub(crate) fn meets(self, other: Slots) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn indices(self) -> impl Iterator<Item = usize> {
        (0..SLOTS).filter(move |slot| self.0 & (1 << slot) != 0)
    }
}

/// The queries: of the whole table, and of the rows with `k = 1` and with `k = 2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Query {
    #[default]
    Table,
    One,
    Two,
}

impl Query {
    pub(crate) const ALL: [Query; QUERIES] = [Query::Table, Query::One, Query::Two];

    pub(crate) fn slots(self) -> Slots {
        match self {
            Query::Table => Slots::TABLE,
            Query::One => Slots::ONE.and(Slots::ANY),
            Query::Two => Slots::TWO.and(Slots::ANY),
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
    /// The same, and the writer learns nothing but the new value.
    MovesHalfSeen,
}

impl Effect {
    pub(crate) fn changes(self, query: Query) -> bool {
        match query {
            Query::Table => true,
            Query::One => self != Effect::TouchesTwo,
            Query::Two => self != Effect::TouchesOne,
        }
    }

    fn touched(self) -> Slots {
        match self {
            Effect::TouchesOne => Slots::ONE,
            Effect::TouchesTwo => Slots::TWO,
            Effect::Moves => Slots::ONE.and(Slots::TWO),
            Effect::MovesHalfSeen => Slots::TWO,
        }
    }
}

/// A moment of the logical clock.
pub(crate) type Tick = u8;

/// An answer, represented by the number of writes that it reflects.
pub(crate) type Value = u8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Answer {
    pub(crate) value: Value,
    pub(crate) version: Tick,
}

/// The load of a query that readers may board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Flight {
    #[default]
    None,
    LedBy(u8),
    Lingering(Answer),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    #[default]
    Beginning,
    /// The statement has been sent, and its outcome is not known to the writer.
    InFlight,
    Ending(Ending),
    /// Gone, but somebody is finding the outcome out.
    Doubted,
    Over,
}

/// The parts of a write's slots that something was done to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Parts {
    pub(crate) certain: bool,
    pub(crate) expected: bool,
    pub(crate) touched: bool,
}

impl Parts {
    pub(crate) fn set(&mut self, part: Part, value: bool) {
        match part {
            Part::Certain => self.certain = value,
            Part::Expected => self.expected = value,
            Part::Touched => self.touched = value,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Writer {
    pub(crate) stage: Stage,
    /// How many moves of the stage were made.
    pub(crate) moves: u8,
    /// To learn what it touched.
    pub(crate) announced: Parts,
    /// Taken, and not yet stored as a stamp.
    pub(crate) tick: Tick,
    pub(crate) effect: Option<Effect>,
    /// What the answers were when it had committed.
    pub(crate) landed: [Value; QUERIES],
    /// The writer is gone, and its commit may still land.
    pub(crate) may_land: bool,
    pub(crate) marked: Parts,
    /// Marked while somebody finds the outcome out.
    pub(crate) doubted: Parts,
    /// Marked until a deadline.
    pub(crate) held: Parts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Doing {
    #[default]
    Nothing,
    Loading,
    /// Waits for another reader's load.
    Following(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reader {
    /// How many reads it has begun.
    pub(crate) reads: u8,
    pub(crate) doing: Doing,
    pub(crate) query: Query,
    /// How many moves of the load were made.
    pub(crate) moves: u8,
    pub(crate) version: Tick,
    pub(crate) marks: Marked,
    pub(crate) value: Value,
    /// What it is shown if the load that it was handed over to comes to nothing.
    pub(crate) fallback: Option<Value>,
    /// What was acknowledged when the read started.
    pub(crate) acknowledged: Value,
    /// The newest value that had been returned when the read started.
    pub(crate) seen: Value,
}

impl Reader {
    fn is_loading(&self) -> bool {
        self.doing == Doing::Loading
    }

    /// The reader once its read is over.
    pub(crate) fn idle(self) -> Self {
        Self { reads: self.reads, ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct State {
    pub(crate) database: [Value; QUERIES],
    pub(crate) acknowledged: [Value; QUERIES],
    /// The newest that a reader has got.
    pub(crate) seen: [Value; QUERIES],
    pub(crate) stamps: [Tick; SLOTS],
    pub(crate) entries: [Option<Answer>; QUERIES],
    /// A load that began before must not be kept.
    pub(crate) barred: [Tick; QUERIES],
    /// When an answer was last shown while a write was to learn what it touched.
    pub(crate) shown: [Tick; QUERIES],
    pub(crate) flights: [Flight; QUERIES],
    pub(crate) writers: [Writer; WRITERS],
    pub(crate) readers: [Reader; READERS],
    /// Somebody got an answer older than what was acknowledged before he asked.
    pub(crate) read_stale: bool,
    /// Somebody got an answer older than what another had got before he asked.
    pub(crate) went_back: bool,
}

impl State {
    /// Keeps whatever began to be read before `tick` from being kept.
    pub(crate) fn bar(&mut self, query: Query, tick: Tick) {
        let barred = &mut self.barred[query as usize];
        *barred = tick.max(*barred);
    }

    /// Whether what is read under this version may be given to readers who come now.
    pub(crate) fn may_share(&self, version: Tick, query: Query) -> bool {
        self.is_current(version, query) && version >= self.barred[query as usize]
    }

    pub(crate) fn tick(&mut self) -> Tick {
        let latest = self.ticks().map(|tick| *tick).max();
        latest.unwrap_or(0) + 1
    }

    pub(crate) fn is_current(&self, version: Tick, query: Query) -> bool {
        let stamps = query.slots().indices().map(|slot| self.stamps[slot]);
        stamps.into_iter().all(|stamp| is_current(stamp.into(), version.into()))
    }

    pub(crate) fn valid_entry(&self, query: Query) -> Option<Answer> {
        self.entries[query as usize].filter(|entry| self.is_current(entry.version, query))
    }

    /// Every tick that is remembered anywhere.
    fn ticks(&mut self) -> impl Iterator<Item = &mut Tick> {
        let Self { stamps, entries, barred, shown, flights, writers, readers, .. } = self;
        let lingering = flights.iter_mut().filter_map(|flight| match flight {
            Flight::Lingering(answer) => Some(&mut answer.version),
            Flight::None | Flight::LedBy(_) => None,
        });
        stamps
            .iter_mut()
            .chain(entries.iter_mut().flatten().map(|entry| &mut entry.version))
            .chain(barred)
            .chain(shown)
            .chain(lingering)
            .chain(writers.iter_mut().map(|writer| &mut writer.tick))
            .chain(readers.iter_mut().map(|reader| &mut reader.version))
    }

    pub(crate) fn swap_readers(&mut self, left: u8, right: u8) {
        self.readers.swap(usize::from(left), usize::from(right));
        let led = self.flights.iter_mut().filter_map(|flight| match flight {
            Flight::LedBy(leader) => Some(leader),
            Flight::None | Flight::Lingering(_) => None,
        });
        let followed = self.readers.iter_mut().filter_map(|reader| match &mut reader.doing {
            Doing::Following(leader) => Some(leader),
            Doing::Nothing | Doing::Loading => None,
        });
        for leader in led.chain(followed) {
            if *leader == left {
                *leader = right;
            } else if *leader == right {
                *leader = left;
            }
        }
    }

    /// Makes one of all states that behave alike.
    pub(crate) fn normalize(&mut self) {
        for writer in &mut self.writers {
            if writer.stage == Stage::Over {
                // What it did matters no more, only what it has left.
                let Writer { stage, may_land, marked, held, .. } = *writer;
                *writer = Writer { stage, may_land, marked, held, ..Writer::default() };
            }
        }
        // An answer that a stamp has ended stays ended, and so does every older one.
        for query in Query::ALL {
            let index = query as usize;
            self.entries[index] = self.valid_entry(query);
            // These two are there for those who have begun.
            let loads = |reader: &&Reader| reader.is_loading() && reader.query == query;
            let oldest = self.readers.iter().filter(loads).map(|reader| reader.version).min();
            for tick in [&mut self.barred[index], &mut self.shown[index]] {
                if oldest.is_none_or(|oldest| oldest >= *tick) {
                    *tick = 0;
                }
            }
            let version = match self.flights[index] {
                Flight::None => None,
                Flight::LedBy(reader) => Some(self.readers[usize::from(reader)].version),
                Flight::Lingering(answer) => Some(answer.version),
            };
            // A leader that has not ticked yet has version 0.
            if version.is_some_and(|version| version != 0 && !self.is_current(version, query)) {
                self.flights[index] = Flight::None;
            }
        }
        let mut used = [false; 64];
        used[0] = true;
        self.ticks().for_each(|tick| used[usize::from(*tick)] = true);
        let mut ranks = [0; 64];
        let mut rank = 0;
        for (tick, used) in used.into_iter().enumerate() {
            ranks[tick] = rank;
            rank += u8::from(used);
        }
        self.ticks().for_each(|tick| *tick = ranks[usize::from(*tick)]);
    }
}

impl Writer {
    pub(crate) fn has_marked(&self) -> bool {
        self.marked != Parts::default()
    }

    pub(crate) fn holds(&self) -> bool {
        self.held != Parts::default()
    }

    /// The slots of one part of the write; those that it touched are known once it has landed.
    pub(crate) fn slots(&self, kind: &WriterKind, part: Part) -> Slots {
        match part {
            Part::Certain => kind.certain,
            Part::Expected => kind.expected,
            Part::Touched => self.effect.map_or(Slots::NONE, Effect::touched),
        }
    }

    pub(crate) fn slots_of(&self, kind: &WriterKind, parts: Parts) -> Slots {
        let all = [
            (parts.certain, Part::Certain),
            (parts.expected, Part::Expected),
            (parts.touched, Part::Touched),
        ];
        all.into_iter()
            .filter(|(is, _)| *is)
            .fold(Slots::NONE, |slots, (_, part)| slots.and(self.slots(kind, part)))
    }
}
