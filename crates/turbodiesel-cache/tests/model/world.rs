//! What a model is about, and everything that may happen in it next.

use stateright::{Model, Property};

use crate::{
    check::Claim,
    program::{Load, ReaderKind, WriterKind},
    protocol::Ending,
    state::{Effect, Parts, Query, Stage, State},
    writers::commit,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A writer makes the next move of its program.
    Write(usize),
    /// Its commit lands.
    Commit(usize, Effect),
    /// It learns the outcome, or loses it, or finds it out, and makes the first move of what it does
    /// then.
    End(usize, Ending),
    /// It stops for ever.
    Crash(usize),
    /// Its commit lands after it has gone.
    CommitLate(usize, Effect),
    /// Its deadline passes.
    Expire(usize),
    /// A reader asks.
    Ask(usize, Query),
    /// A reader makes the next move of its load.
    Load(usize),
    /// A reader returns an answer that is too large to keep.
    LandTooLarge(usize),
    /// A reader gets an error instead.
    Fail(usize),
    Evict(Query),
}

/// Which of several answers to a query stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fills {
    /// The one that comes last.
    Last,
    /// The one whose read began last.
    BegunLast,
    /// That one, but while a write is to learn what it touched, none of those whose reads overlapped,
    /// since nobody knows which is newer. One that cannot be kept then ends the one that is there.
    Undisputed,
}

/// What a model is about.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) writers: Vec<WriterKind>,
    pub(crate) readers: Vec<ReaderKind>,
    pub(crate) load: Vec<Vec<Load>>,
    /// The stamps are in a store that processes share, so that marks have deadlines from the
    /// beginning.
    pub(crate) shared: bool,
    /// A writer may stop between any two of its moves, and do nothing any more.
    pub(crate) crashes: bool,
    /// Deadlines may pass before the commit has landed.
    pub(crate) deadlines_are_short: bool,
    pub(crate) fills: Fills,
    /// Whether entries may be evicted, and answers turn out to be too large to keep.
    pub(crate) space_is_short: bool,
    /// Whether loads may come to nothing.
    pub(crate) loads_fail: bool,
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
        let mut state = State::default();
        for (writer, kind) in state.writers.iter_mut().zip(&self.world.writers) {
            if kind.program.begin.is_empty() {
                writer.stage = Stage::InFlight;
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for index in 0..self.world.writers.len() {
            self.actions_of_writer(state, index, actions);
        }
        for index in 0..self.world.readers.len() {
            self.actions_of_reader(state, index, actions);
        }
        if self.world.space_is_short {
            let there = |query: &Query| state.entries[*query as usize].is_some();
            actions.extend(Query::ALL.into_iter().filter(there).map(Action::Evict));
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
                writer.stage = Stage::Over;
                writer.may_land = writer.effect.is_none();
                writer.held = std::mem::take(&mut writer.marked);
            }
            Action::CommitLate(index, effect) => {
                commit(&mut state, index, effect);
                state.writers[index].may_land = false;
            }
            Action::Expire(index) => {
                let writer = &mut state.writers[index];
                writer.held = Parts::default();
                if self.world.shared {
                    writer.marked = Parts::default();
                }
                // The meaning of a deadline that is long enough.
                writer.may_land &= self.world.deadlines_are_short;
            }
            Action::Ask(index, query) => self.ask(&mut state, index, query),
            Action::Load(index) => self.load(&mut state, index),
            Action::LandTooLarge(index) => self.land(&mut state, index, false),
            Action::Fail(index) => self.fail(&mut state, index),
            Action::Evict(query) => {
                if let Some(entry) = state.entries[query as usize].take() {
                    state.bar(query, entry.version);
                }
            }
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
                state.swap_readers(left as u8, right as u8);
            }
        }
    }
}

/// All pairs of equals.
fn pairs<T: PartialEq>(kinds: &[T]) -> impl Iterator<Item = (usize, usize)> {
    let places = 0..kinds.len();
    places
        .clone()
        .flat_map(move |left| places.clone().skip(left + 1).map(move |right| (left, right)))
        .filter(|&(left, right)| kinds[left] == kinds[right])
}
