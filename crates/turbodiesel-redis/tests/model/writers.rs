//! What writers do: begin, commit, end in one of several ways, and perhaps leave a mark or a late
//! commit; and what others do about that.

use crate::{
    program::{Op, WriterKind},
    protocol::{Ending, Part, Step},
    state::{Effect, Query, Stage, State, TABLES, TAGS, Tags, Writer, table_of},
    world::{Action, Checked, Positions, World},
};

impl Checked {
    pub(crate) fn actions_of_writer(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let World { crashes, stalls, losses, .. } = &self.world;
        let WriterKind { certain, expected, effects, program } = &self.world.writers[index];
        let writer = &state.writers[index];
        match writer.stage {
            Stage::Beginning | Stage::Ending(_) => actions.push(Action::Write(index)),
            Stage::InFlight => {
                if writer.effect.is_none() {
                    actions.extend(effects.iter().map(|effect| Action::Commit(index, *effect)));
                }
                let endings = program.endings.iter().map(|(ending, _)| *ending);
                let endings = endings.filter(|ending| writer.may_end(*ending));
                actions.extend(endings.map(|ending| Action::End(index, ending)));
            }
            Stage::Over => {}
        }
        if writer.may_land {
            actions.extend(effects.iter().map(|effect| Action::CommitLate(index, *effect)));
        }
        let begun = !matches!((writer.stage, writer.moves), (Stage::Beginning, 0));
        if *crashes && begun && writer.stage != Stage::Over {
            actions.push(Action::Crash(index));
        }
        for table in 0..TABLES {
            let gone = writer.stage == Stage::Over;
            if writer.marked[table] && (gone || *stalls) {
                actions.push(Action::Bury(index, table));
            }
            let lost = !writer.marked[table] && certain.and(*expected).of(table) != Tags::NONE;
            let in_flight = writer.stage == Stage::InFlight && writer.effect.is_none();
            if lost && in_flight && !losses.is_empty() && program.marks() {
                actions.push(Action::Renew(index, table));
            }
        }
    }

    /// Makes the next move.
    pub(crate) fn write(&self, state: &mut State, index: usize) {
        let program = &self.world.writers[index].program;
        let writer = &state.writers[index];
        let moves = match writer.stage {
            Stage::Beginning => &program.begin,
            Stage::Ending(ending) => program.ending(ending),
            Stage::InFlight | Stage::Over => &[],
        };
        let mut left = moves.iter().skip(usize::from(writer.moves));
        for op in left.next().into_iter().flatten() {
            match *op {
                Op::Run(step, table) => self.run(state, index, step, table),
                Op::Acknowledge => acknowledge(state, index),
            }
        }
        let writer = &mut state.writers[index];
        writer.moves += 1;
        if left.len() == 0 {
            writer.stage =
                if writer.stage == Stage::Beginning { Stage::InFlight } else { Stage::Over };
            writer.moves = 0;
        }
    }

    /// Begins again on one record.
    pub(crate) fn renew(&self, state: &mut State, index: usize, table: usize) {
        for op in self.world.writers[index].program.begin.iter().flatten() {
            if let Op::Run(step, on) = *op
                && on == table
            {
                self.run(state, index, step, table);
            }
        }
    }

    /// Does to the mark of a writer what is done when it is taken to be gone.
    pub(crate) fn bury(&self, state: &mut State, index: usize, table: usize) {
        for step in self.world.bury {
            self.run(state, index, *step, table);
        }
        // The meaning of a lifetime that is long enough.
        state.writers[index].may_land &= self.world.lifetimes_are_short;
    }

    fn run(&self, state: &mut State, index: usize, step: Step, table: usize) {
        let kind = &self.world.writers[index];
        let writer = &mut state.writers[index];
        match step {
            Step::Found => state.founded[table] = true,
            Step::Mark => writer.marked[table] = true,
            Step::Lift => writer.marked[table] = false,
            Step::Position => {
                let told = match writer.stage {
                    // Asked for right behind its commit.
                    Stage::Ending(Ending::Committed | Ending::CommittedExactly) => {
                        writer.landed[Query::Whole as usize]
                    }
                    // Asked for by whoever knows that it has ended.
                    _ => state.database[Query::Whole as usize],
                };
                self.tell(state, told);
            }
            Step::Stamp(part) => {
                let tags = writer.tags(kind, part).of(table);
                let nonce = state.nonce();
                tags.indices().for_each(|tag| state.store.stamps[tag] = nonce);
            }
        }
    }

    /// The same for a writer that nobody is. Certain to it is the whole table.
    pub(crate) fn run_for_nobody(&self, state: &mut State, steps: &[Step], table: usize) {
        for step in steps {
            match step {
                Step::Found => state.founded[table] = true,
                Step::Mark => state.nobodys[table] = true,
                Step::Lift => state.nobodys[table] = false,
                Step::Position => self.tell(state, state.database[Query::Whole as usize]),
                Step::Stamp(Part::Certain) => {
                    state.store.born[table] = state.nonce();
                    let of_table = (0..TAGS).filter(|tag| table_of(*tag) == table);
                    of_table.for_each(|tag| state.store.stamps[tag] = 0);
                }
                Step::Stamp(Part::Expected | Part::Touched) => {}
            }
        }
    }

    fn tell(&self, state: &mut State, told: u8) {
        state.position = match self.world.positions {
            Positions::All => state.position.max(Some(told)),
            Positions::Last => Some(told),
        };
    }
}

impl Writer {
    fn may_end(&self, ending: Ending) -> bool {
        match ending {
            Ending::Committed | Ending::CommittedExactly => self.effect.is_some(),
            Ending::Aborted => self.effect.is_none(),
            Ending::Untold => true,
            Ending::Buried => false,
        }
    }

    /// The outcome is told, or will not be.
    pub(crate) fn end(&mut self, ending: Ending) {
        (self.stage, self.moves) = (Stage::Ending(ending), 0);
    }
}

pub(crate) fn commit(state: &mut State, index: usize, effect: Effect) {
    let writer = &mut state.writers[index];
    writer.effect = Some(effect);
    for query in Query::ALL.into_iter().filter(|query| effect.changes(*query)) {
        let value = &mut state.database[query as usize];
        *value += 1;
        writer.landed[query as usize] = *value;
    }
}

fn acknowledge(state: &mut State, index: usize) {
    let landed = state.writers[index].landed;
    for (acknowledged, landed) in state.acknowledged.iter_mut().zip(landed) {
        *acknowledged = landed.max(*acknowledged);
    }
}
