//! What a model is about, and everything that may happen in it next.

use stateright::{Model, Property};

use crate::{
    check::Claim,
    program::{Load, ReaderKind, WriterKind},
    protocol::{Ending, Step},
    state::{Effect, Query, Stage, State, Store, TABLES, TAGS, Tags, table_of},
    writers::commit,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A writer makes the next move of its program.
    Write(usize),
    /// Its commit lands.
    Commit(usize, Effect),
    /// It learns the outcome, or that there is none to be learnt, and makes the first move of what it
    /// does then.
    End(usize, Ending),
    /// It stops for ever.
    Crash(usize),
    /// Its commit lands after it has gone.
    CommitLate(usize, Effect),
    /// It marks a record once more from which its mark has vanished.
    Renew(usize, usize),
    /// Somebody buries its mark in the record of a table.
    Bury(usize, usize),
    /// Somebody buries the mark that is nobody's.
    BuryNobodys(usize),
    /// Somebody founds the record of a table.
    Found(usize),
    /// Somebody gives birth to the stamps of a table that were lost.
    Bear(usize),
    /// A reader asks.
    Ask(usize, Query),
    /// A reader makes the next move of its read.
    Load(usize),
    /// The same, at the primary although a replica would do.
    LoadAtPrimary(usize),
    /// The replica replays one more commit.
    Replay,
    /// The store's replica receives all that the store has.
    Sync,
    Lose(Loss),
}

/// What may happen to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// One stamp of table `a` is evicted, as if it were a key of its own that restarts.
    Stamp,
    /// The stamps of a table are evicted.
    Stamps(usize),
    /// Its marks are evicted.
    Marks(usize),
    /// All is flushed; or the store fails over, and goes by another history's name from then on.
    Everything,
    /// It fails over, and nobody notices.
    Latest,
}

/// Where readers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replica {
    None,
    /// At a replica that lags behind.
    Ungated,
    /// There, if it has replayed what was told.
    Gated,
}

/// What becomes of positions that several writers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Positions {
    /// Each has its own place.
    All,
    /// There is one place, and the last one stays.
    Last,
}

/// What a model is about.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) writers: Vec<WriterKind>,
    pub(crate) readers: Vec<ReaderKind>,
    pub(crate) load: Vec<Vec<Load>>,
    /// What is done to the marks of writers that have gone.
    pub(crate) bury: &'static [Step],
    /// How a record is founded whose marks are lost.
    pub(crate) found: &'static [Step],
    /// A writer may stop between any two of its moves, and do nothing any more.
    pub(crate) crashes: bool,
    /// A writer may stand still for so long that its mark is buried, and go on.
    pub(crate) stalls: bool,
    /// Marks may be buried before the commit has landed.
    pub(crate) lifetimes_are_short: bool,
    /// What may be lost, once.
    pub(crate) losses: &'static [Loss],
    pub(crate) replica: Replica,
    pub(crate) positions: Positions,
    /// Whether what readers have seen is remembered, to find values that go back.
    pub(crate) remembers_seen: bool,
}

/// A world and what is to be checked in it.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) world: World,
    pub(crate) claims: Vec<Claim>,
}

impl Model for Checked {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let store = Store { born: [1, 2], ..Store::default() };
        let founded = [true; TABLES];
        let mut state = State { store, founded, position: Some(0), ..State::default() };
        for (writer, kind) in state.writers.iter_mut().zip(&self.world.writers) {
            if kind.program.begin.is_empty() {
                writer.stage = Stage::InFlight;
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let World { writers, readers, losses, replica, .. } = &self.world;
        for index in 0..writers.len() {
            self.actions_of_writer(state, index, actions);
        }
        for index in 0..readers.len() {
            self.actions_of_reader(state, index, actions);
        }
        for table in 0..TABLES {
            if !state.founded[table] {
                actions.push(Action::Found(table));
            } else if state.store.born[table] == 0 {
                actions.push(Action::Bear(table));
            }
            if state.nobodys[table] && self.may_bury_nobodys(state, table) {
                actions.push(Action::BuryNobodys(table));
            }
        }
        if *replica != Replica::None && state.replica < state.database[Query::Whole as usize] {
            actions.push(Action::Replay);
        }
        if state.faults == 0 {
            actions.extend(losses.iter().copied().map(Action::Lose));
            if losses.contains(&Loss::Latest) && state.synced != state.store {
                actions.push(Action::Sync);
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Write(index) => self.write(&mut state, index),
            Action::Commit(index, effect) => commit(&mut state, index, effect),
            Action::End(index, ending) => {
                state.writers[index].end(ending);
                self.write(&mut state, index);
            }
            Action::Crash(index) => {
                let writer = &mut state.writers[index];
                writer.may_land = writer.stage == Stage::InFlight && writer.effect.is_none();
                writer.stage = Stage::Over;
            }
            Action::CommitLate(index, effect) => {
                commit(&mut state, index, effect);
                state.writers[index].may_land = false;
            }
            Action::Renew(index, table) => self.renew(&mut state, index, table),
            Action::Bury(index, table) => self.bury(&mut state, index, table),
            Action::BuryNobodys(table) => {
                self.run_for_nobody(&mut state, Ending::Buried.steps(), table);
                for writer in &mut state.writers {
                    // What was in flight when the marks were lost has landed by now, or never will.
                    writer.may_land &= self.world.lifetimes_are_short || writer.marked[table];
                }
            }
            Action::Found(table) => self.run_for_nobody(&mut state, self.world.found, table),
            Action::Bear(table) => state.store.born[table] = state.nonce(),
            Action::Ask(index, query) => self.ask(&mut state, index, query),
            Action::Load(index) => self.load(&mut state, index, true),
            Action::LoadAtPrimary(index) => self.load(&mut state, index, false),
            Action::Replay => state.replica += 1,
            Action::Sync => state.synced = state.store,
            Action::Lose(loss) => lose(&mut state, loss),
        }
        state.normalize();
        self.sort(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.claims.iter().map(|claim| claim.property()).collect()
    }
}

impl Checked {
    /// A lifetime has passed since the record was founded: whoever was in flight then and is not marked
    /// has committed, or has marked anew.
    fn may_bury_nobodys(&self, state: &State, table: usize) -> bool {
        let open = state.writers.iter().zip(&self.world.writers).any(|(writer, kind)| {
            kind.certain.and(kind.expected).of(table) != Tags::NONE
                && !writer.marked[table]
                && (writer.stage == Stage::InFlight && writer.effect.is_none())
        });
        !open || self.world.lifetimes_are_short
    }

    /// Makes one of states in which writers, or readers, of one kind have changed places.
    fn sort(&self, state: &mut State) {
        let World { writers, readers, .. } = &self.world;
        for (left, right) in pairs(writers) {
            if state.writers[left] > state.writers[right] {
                state.writers.swap(left, right);
            }
        }
        for (left, right) in pairs(readers) {
            if state.readers[left] > state.readers[right] {
                state.readers.swap(left, right);
            }
        }
    }
}

fn lose(state: &mut State, loss: Loss) {
    state.faults += 1;
    match loss {
        Loss::Stamp => state.store.stamps[0] = 0,
        Loss::Stamps(table) => {
            let of_table = (0..TAGS).filter(|tag| table_of(*tag) == table);
            of_table.for_each(|tag| state.store.stamps[tag] = 0);
            state.store.born[table] = 0;
        }
        Loss::Marks(table) => lose_marks(state, table),
        Loss::Everything => {
            state.store = Store::default();
            (0..TABLES).for_each(|table| lose_marks(state, table));
        }
        Loss::Latest => state.store = std::mem::take(&mut state.synced),
    }
    if matches!(loss, Loss::Everything | Loss::Latest) {
        // Whoever was looking has lost the connection.
        state.readers.iter_mut().filter(|r| r.asks && !r.judged).for_each(|r| r.broken = true);
    }
    state.synced = Store::default();
}

fn lose_marks(state: &mut State, table: usize) {
    state.founded[table] = false;
    state.nobodys[table] = false;
    state.position = None;
    state.writers.iter_mut().for_each(|writer| writer.marked[table] = false);
}

/// All pairs of equals.
fn pairs<T: PartialEq>(kinds: &[T]) -> impl Iterator<Item = (usize, usize)> {
    let places = 0..kinds.len();
    places
        .clone()
        .flat_map(move |left| places.clone().skip(left + 1).map(move |right| (left, right)))
        .filter(|&(left, right)| kinds[left] == kinds[right])
}
