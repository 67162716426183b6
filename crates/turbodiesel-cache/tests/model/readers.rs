//! What readers do: look, share a load or begin one, keep its answer and show it.

use crate::{
    program::{Load, Mode},
    protocol::Marked,
    state::{Answer, Doing, Flight, Parts, Query, Reader, State, Value, Writer},
    world::{Action, Checked, Fills},
};

impl Checked {
    pub(crate) fn actions_of_reader(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let kind = &self.world.readers[index];
        let reader = &state.readers[index];
        match reader.doing {
            Doing::Nothing if reader.reads < kind.reads => {
                let may_ask =
                    |query: &&Query| kind.mode == Mode::Alone || !self.is_locked(state, **query);
                let queries = kind.queries.iter().filter(may_ask);
                actions.extend(queries.map(|query| Action::Ask(index, *query)));
            }
            Doing::Loading => {
                actions.push(Action::Load(index));
                let lands = self.world.load[usize::from(reader.moves)].contains(&Load::Land);
                if self.world.space_is_short && lands {
                    actions.push(Action::LandTooLarge(index));
                }
                if self.world.loads_fail && lands {
                    actions.push(Action::Fail(index));
                }
            }
            Doing::Nothing | Doing::Following(_) => {}
        }
    }

    /// Whether somebody holds the lock of the key while he takes his snapshot.
    fn is_locked(&self, state: &State, query: Query) -> bool {
        let Flight::LedBy(leader) = state.flights[query as usize] else { return false };
        let moves = usize::from(state.readers[usize::from(leader)].moves);
        self.world.load[..=moves].iter().all(|ops| !ops.contains(&Load::Read))
    }

    /// Looks for an entry, then for a load to share, and begins one otherwise.
    pub(crate) fn ask(&self, state: &mut State, index: usize, query: Query) {
        let mode = self.world.readers[index].mode;
        let reads = state.readers[index].reads + 1;
        state.readers[index] = Reader {
            reads,
            query,
            acknowledged: state.acknowledged[query as usize],
            seen: state.seen[query as usize],
            ..Reader::default()
        };
        if mode != Mode::Impatient
            && let Some(entry) = state.valid_entry(query)
        {
            return self.deliver(state, index, entry.value);
        }
        if mode == Mode::Shared {
            match state.flights[query as usize] {
                Flight::LedBy(leader) if self.may_board(state, leader) => {
                    state.readers[index].doing = Doing::Following(leader);
                    return;
                }
                Flight::Lingering(answer)
                    if self.finds(state, query, |w| w.marked)
                        && state.may_share(answer.version, query) =>
                {
                    return self.deliver(state, index, answer.value);
                }
                _ => {}
            }
        }
        state.readers[index].doing = Doing::Loading;
        if mode != Mode::Alone {
            state.flights[query as usize] = Flight::LedBy(index as u8);
        }
        self.load(state, index);
    }

    /// Whether those who come now may share what this leader reads.
    fn may_board(&self, state: &State, leader: u8) -> bool {
        let Reader { version, query, .. } = state.readers[usize::from(leader)];
        state.may_share(version, query)
    }

    /// Whether some writer has marked a slot of this query, in one way or the other.
    fn finds(&self, state: &State, query: Query, parts: fn(&Writer) -> Parts) -> bool {
        let mut writers = state.writers.iter().zip(&self.world.writers);
        writers.any(|(writer, kind)| writer.slots_of(kind, parts(writer)).meets(query.slots()))
    }

    /// Makes the next move of a load.
    pub(crate) fn load(&self, state: &mut State, index: usize) {
        let query = state.readers[index].query;
        for load in &self.world.load[usize::from(state.readers[index].moves)] {
            match load {
                Load::Tick => state.readers[index].version = state.tick(),
                Load::Writers => {
                    state.readers[index].marks.written = self.finds(state, query, |w| w.marked);
                }
                Load::Doubts => {
                    state.readers[index].marks.held |= self.finds(state, query, |w| w.doubted);
                }
                Load::Deadlines => {
                    state.readers[index].marks.held |= self.finds(state, query, |w| w.held);
                }
                Load::Read => state.readers[index].value = state.database[query as usize],
                Load::Land => return self.land(state, index, true),
            }
        }
        state.readers[index].moves += 1;
    }

    /// Ends a load: keeps the answer if it may, and shows it to all who wait, or else hands them over
    /// to the newest load.
    pub(crate) fn land(&self, state: &mut State, index: usize, fits: bool) {
        let Reader { query, version, marks, value, .. } = state.readers[index];
        let answer = Answer { value, version };
        let leader = index as u8;
        let newest = state.flights[query as usize];
        let is_current = marks.may_keep() && state.is_current(version, query);
        if self.world.readers[index].mode == Mode::Alone {
            state.flights[query as usize] = Flight::None;
        } else if newest == Flight::LedBy(leader) {
            let lingers = fits && marks.may_linger();
            state.flights[query as usize] =
                if lingers { Flight::Lingering(answer) } else { Flight::None };
        } else if !is_current || self.is_expected(state, query) {
            // Nobody is shown this while others may board the newest, which may have read less.
            match newest {
                Flight::Lingering(newer) if state.may_share(newer.version, query) => {
                    return self.show(state, index, newer.value);
                }
                Flight::LedBy(other) if self.may_board(state, other) => {
                    return self.hand_over(state, index, other);
                }
                _ => state.flights[query as usize] = Flight::None,
            }
        }
        self.admit(state, query, answer, marks, fits);
        self.show(state, index, value);
    }

    /// A load comes to nothing: those who wait for it are told, but for those who have something to
    /// fall back to.
    pub(crate) fn fail(&self, state: &mut State, leader: usize) {
        let query = state.readers[leader].query;
        if state.flights[query as usize] == Flight::LedBy(leader as u8) {
            state.flights[query as usize] = Flight::None;
        }
        for index in 0..state.readers.len() {
            let reader = state.readers[index];
            if index == leader {
                state.readers[index] = reader.idle();
            } else if reader.doing == Doing::Following(leader as u8) {
                match reader.fallback {
                    Some(value) => self.fall_back(state, index, value),
                    None => state.readers[index] = reader.idle(),
                }
            }
        }
    }

    fn fall_back(&self, state: &mut State, index: usize, value: Value) {
        self.show_unkept(state, state.readers[index].query);
        self.deliver(state, index, value);
    }

    /// Whether two answers whose reads overlap are disputed.
    fn is_expected(&self, state: &State, query: Query) -> bool {
        self.world.fills == Fills::Undisputed && self.finds(state, query, |w| w.announced)
    }

    fn admit(&self, state: &mut State, query: Query, answer: Answer, marks: Marked, fits: bool) {
        let overtaken = answer.version < state.barred[query as usize]
            || state.entries[query as usize].is_some_and(|there| there.version > answer.version);
        let disputed =
            self.is_expected(state, query) && answer.version < state.shown[query as usize];
        let refused = match self.world.fills {
            Fills::Last => false,
            Fills::BegunLast => overtaken,
            Fills::Undisputed => overtaken || disputed,
        };
        if fits && marks.may_keep() && state.is_current(answer.version, query) && !refused {
            self.note_shown(state, query);
            state.entries[query as usize] = Some(answer);
        } else {
            self.show_unkept(state, query);
        }
    }

    fn show_unkept(&self, state: &mut State, query: Query) {
        if self.note_shown(state, query)
            && let Some(there) = state.entries[query as usize].take()
        {
            state.bar(query, there.version);
        }
    }

    fn note_shown(&self, state: &mut State, query: Query) -> bool {
        let expected = self.is_expected(state, query);
        if expected {
            state.shown[query as usize] = state.tick();
        }
        expected
    }

    /// Shows a value to all who wait for a load.
    fn show(&self, state: &mut State, leader: usize, value: Value) {
        for index in 0..state.readers.len() {
            if index == leader || state.readers[index].doing == Doing::Following(leader as u8) {
                self.deliver(state, index, value);
            }
        }
    }

    /// Lets those who wait for a load wait for another. Who was handed over before is not again.
    fn hand_over(&self, state: &mut State, leader: usize, other: u8) {
        let own = state.readers[leader].value;
        for index in 0..state.readers.len() {
            let reader = state.readers[index];
            if index != leader && reader.doing != Doing::Following(leader as u8) {
                continue;
            }
            if let Some(value) = reader.fallback {
                self.fall_back(state, index, value);
                continue;
            }
            let Reader { reads, query, acknowledged, seen, .. } = reader;
            let (doing, fallback) = (Doing::Following(other), Some(own));
            let rest = Reader::default();
            state.readers[index] =
                Reader { reads, query, acknowledged, seen, doing, fallback, ..rest };
        }
    }

    fn deliver(&self, state: &mut State, index: usize, value: Value) {
        let reader = &mut state.readers[index];
        state.read_stale |= value < reader.acknowledged;
        if self.world.remembers_seen {
            state.went_back |= value < reader.seen;
            let seen = &mut state.seen[reader.query as usize];
            *seen = value.max(*seen);
        }
        *reader = reader.idle();
    }
}
