//! What readers do: look, judge, read the database, keep the answer and show it.

use crate::{
    program::Load,
    protocol::Verdict,
    state::{Entry, Look, Query, Reader, Stage, State, Value, judge},
    world::{Action, Checked, Replica},
};

impl Checked {
    pub(crate) fn actions_of_reader(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let kind = &self.world.readers[index];
        let reader = &state.readers[index];
        if reader.asks {
            actions.push(Action::Load(index));
            let reads = self.world.load[usize::from(reader.moves)].contains(&Load::Read);
            if reads && self.replica(state, reader).is_some() {
                actions.push(Action::LoadAtPrimary(index));
            }
        } else if reader.reads < kind.reads {
            actions.extend(kind.queries.iter().map(|query| Action::Ask(index, *query)));
        }
    }

    /// What the replica answers, if it may be asked.
    fn replica(&self, state: &State, reader: &Reader) -> Option<Value> {
        match self.world.replica {
            Replica::None => None,
            Replica::Ungated => Some(state.replica),
            Replica::Gated => {
                reader.replayed.filter(|told| *told <= state.replica).map(|_| state.replica)
            }
        }
    }

    pub(crate) fn ask(&self, state: &mut State, index: usize, query: Query) {
        let reads = state.readers[index].reads + 1;
        let begun = |stage: Stage, moves: u8| (stage, moves) != (Stage::Beginning, 0);
        state.readers[index] = Reader {
            reads,
            asks: true,
            query,
            acknowledged: state.acknowledged[query as usize],
            seen: state.seen[query as usize],
            early: !state.writers.iter().any(|writer| begun(writer.stage, writer.moves)),
            ..Reader::default()
        };
        self.load(state, index, true);
    }

    /// Makes the next move.
    pub(crate) fn load(&self, state: &mut State, index: usize, at_replica: bool) {
        let moves = &self.world.load[usize::from(state.readers[index].moves)];
        state.readers[index].moves += 1;
        for load in moves {
            let Reader { query, .. } = state.readers[index];
            match load {
                Load::Stamps(table) => {
                    let now = state.stamps_of(query);
                    let reader = &mut state.readers[index];
                    let tags = query.tags().indices();
                    for (place, tag) in tags.enumerate() {
                        if crate::state::table_of(tag) == *table {
                            reader.stamps[place] = now[place];
                        }
                    }
                }
                Load::Marks(table) => {
                    let look = state.look(&self.world.writers, query, *table);
                    let position = state.position;
                    let reader = &mut state.readers[index];
                    reader.looks[*table] = look;
                    reader.position = position;
                }
                Load::Entry => state.readers[index].entry = state.store.entries[query as usize],
                Load::Judge => {
                    if let Some(value) = conclude(&mut state.readers[index]) {
                        return self.deliver(state, index, value);
                    }
                }
                Load::Read => {
                    let replica = self.replica(state, &state.readers[index]).filter(|_| at_replica);
                    let primary = state.database[query as usize];
                    state.readers[index].value = replica.unwrap_or(primary);
                }
                Load::Land => {
                    let Reader { value, stamps, keep, early, .. } = state.readers[index];
                    if keep {
                        let entry = Entry { value, stamps, early };
                        state.store.entries[query as usize] = Some(entry);
                    }
                    return self.deliver(state, index, value);
                }
            }
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

/// What the reader is shown, if it need not read. Nothing is left of what it found but the conclusion.
fn conclude(reader: &mut Reader) -> Option<Value> {
    let Reader { query, stamps, mut looks, position, entry, broken, .. } = *reader;
    if broken {
        // Whoever has lost the connection knows nothing.
        looks = [Look { founded: false, marked: false }; _];
    }
    let verdict = judge(query, stamps, looks, position, entry);
    match verdict {
        Verdict::Hit => entry.map(|entry| entry.value),
        Verdict::Miss { keep, replayed } => {
            *reader = Reader {
                judged: true,
                keep,
                replayed,
                stamps: if keep { stamps } else { Default::default() },
                looks: Default::default(),
                position: None,
                entry: None,
                broken: false,
                ..*reader
            };
            None
        }
    }
}
